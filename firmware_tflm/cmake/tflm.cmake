# Programs with TensorFlow Lite Micro, if there is a library of it: -DTFLM_ROOT=folder (README.md says which).
set(TFLM_ROOT "" CACHE PATH "TensorFlow Lite Micro, built: a checkout after its own build, or lib/ include/ third_party/")
set(TFLM_MODEL ${PROJECT_ROOT}/results/models/paper6_paper_cnn_ours_s0.tflite CACHE FILEPATH "model (.tflite)")
set(TFLM_KERNELS library CACHE STRING "library, or a set of our kernels in its place: simd, plain")
set(TFLM_CLIPS "" CACHE FILEPATH "clips that the application runs (.npz: features, names); noise by default")
if(NOT TFLM_ROOT)
    message(STATUS "no TFLM_ROOT: the programs with TensorFlow Lite Micro are left out")
    return()
endif()

set(WITH_KWSLIB ${CMAKE_COMMAND} -E env PYTHONPATH=${PROJECT_ROOT} ${PYTHON} -m)
execute_process(COMMAND ${WITH_KWSLIB} kwslib.tflm_library ${TFLM_ROOT} OUTPUT_VARIABLE TFLM_FOUND
                ERROR_VARIABLE TFLM_FAULT RESULT_VARIABLE TFLM_FAILED)
if(TFLM_FAILED)
    message(FATAL_ERROR "${TFLM_FAULT}")
endif()
cmake_language(EVAL CODE "${TFLM_FOUND}") # TFLM_ARCHIVE, TFLM_INCLUDES, TFLM_DEFINITIONS, TFLM_KERNELS_INSIDE
message(STATUS "TensorFlow Lite Micro ${TFLM_VERSION}, kernels: ${TFLM_KERNELS_INSIDE}")

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g" CACHE STRING "")
enable_language(CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

# tflm_firmware(TARGET SOURCES...): a program with the network of TFLM_MODEL (tflm_network.h).
function(tflm_firmware target)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/${target})
    set(written ${folder}/model.h ${folder}/model.cc ${folder}/model_ops.h ${folder}/our_steps.c ${folder}/clips.h)
    file(REAL_PATH ${TFLM_MODEL} model BASE_DIRECTORY ${PROJECT_ROOT} EXPAND_TILDE)
    if(NOT EXISTS ${model})
        message(FATAL_ERROR "no file ${model}: TFLM_MODEL is a .tflite file")
    endif()
    set(clips "")
    if(TFLM_CLIPS)
        set(clips --clips ${TFLM_CLIPS})
    endif()
    file(GLOB generators CONFIGURE_DEPENDS ${PROJECT_ROOT}/kwslib/tflm*.py ${PROJECT_ROOT}/kwslib/kernels*.py)
    add_custom_command(
        OUTPUT ${written}
        COMMAND ${WITH_KWSLIB} kwslib.tflm ${model} ${folder} --kernels ${TFLM_KERNELS} ${clips}
        COMMAND ${CMAKE_COMMAND} -E touch ${written}
        DEPENDS ${generators} ${PROJECT_ROOT}/kwslib/artifacts.py ${model} ${TFLM_CLIPS}
        COMMENT "Model, operators and clips of ${target}"
        VERBATIM)
    set(sources tflm_network.cc our_kernels.cc)
    list(TRANSFORM sources PREPEND ${CMAKE_SOURCE_DIR}/tflm/)
    add_firmware(${target} ${ARGN} ${sources} ${written})
    target_include_directories(${target} PRIVATE ${folder} ${CMAKE_SOURCE_DIR}/tflm)
    target_include_directories(${target} SYSTEM PRIVATE ${TFLM_INCLUDES})
    target_compile_definitions(${target} PRIVATE ${TFLM_DEFINITIONS})
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti;-fno-exceptions;-fno-threadsafe-statics>)
    target_link_libraries(${target} PRIVATE kernels ${TFLM_ARCHIVE} m)
endfunction()
