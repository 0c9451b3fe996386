# frontend_library(TARGET SETTING): the front end with the tables of one setting, which kwslib writes into the build
# folder. SETTING: paper, mfcc, or the JSON file of a model.
cmake_path(GET CMAKE_CURRENT_SOURCE_DIR PARENT_PATH PROJECT_ROOT)
# The Python that asks for the build (kwslib.toolchain), the project's own, or whichever is found.
find_program(PYTHON NAMES python HINTS ${PROJECT_ROOT}/.venv/bin NO_DEFAULT_PATH)
find_program(PYTHON NAMES python3 python)
execute_process(COMMAND ${PYTHON} -c "import librosa, numpy" RESULT_VARIABLE NO_LIBROSA OUTPUT_QUIET ERROR_QUIET)
if(NOT PYTHON OR NO_LIBROSA)
    message(FATAL_ERROR "the tables of the front end need a Python with librosa; remedy: -DPYTHON=/path/to/python, "
                        "or `make test` in the folder above, which makes .venv")
endif()

function(frontend_library target setting)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/${target})
    set(sources ${PROJECT_ROOT}/kwslib/frontend_c.py ${PROJECT_ROOT}/kwslib/features.py
        ${PROJECT_ROOT}/kwslib/config.py)
    if(setting MATCHES "\\.json$")
        file(REAL_PATH ${setting} setting BASE_DIRECTORY ${PROJECT_ROOT} EXPAND_TILDE)
        if(NOT EXISTS ${setting})
            message(FATAL_ERROR "no file ${setting}: a front end is paper, mfcc, or the JSON file of a model")
        endif()
        list(APPEND sources ${setting})
    endif()
    add_custom_command(
        OUTPUT ${folder}/frontend_tables.c ${folder}/frontend_tables.h
        COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${PROJECT_ROOT} ${PYTHON} -m kwslib.frontend_c ${setting} ${folder}
        COMMAND ${CMAKE_COMMAND} -E touch ${folder}/frontend_tables.c ${folder}/frontend_tables.h
        DEPENDS ${sources}
        COMMENT "Tables of the front end ${setting}"
        VERBATIM)
    file(GLOB code CONFIGURE_DEPENDS ${PROJECT_ROOT}/firmware_tflm/frontend/frontend*.c)
    add_library(${target} STATIC ${code} ${folder}/frontend_tables.c ${folder}/frontend_tables.h)
    target_include_directories(${target} PUBLIC ${PROJECT_ROOT}/firmware_tflm/frontend ${folder})
    target_link_libraries(${target} PUBLIC m)
endfunction()
