# Cross compiler for the Cortex-M7 of the STM32F746: hard float, single-precision FPU.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR cortex-m7)

set(INSTALL_HINT "remedy: sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi")
find_program(CROSS_COMPILER arm-none-eabi-gcc)
if(NOT CROSS_COMPILER)
    message(FATAL_ERROR "arm-none-eabi-gcc is not on the PATH; ${INSTALL_HINT}")
endif()
execute_process(COMMAND ${CROSS_COMPILER} -print-file-name=nano.specs OUTPUT_VARIABLE NANO_SPECS
                OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NANO_SPECS STREQUAL "nano.specs")
    message(FATAL_ERROR "arm-none-eabi-gcc has no newlib (nano.specs); ${INSTALL_HINT}")
endif()

set(CMAKE_C_COMPILER ${CROSS_COMPILER})
set(CMAKE_ASM_COMPILER ${CROSS_COMPILER})
set(CMAKE_CXX_COMPILER arm-none-eabi-g++) # for TensorFlow Lite Micro only
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard")
set(CMAKE_ASM_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_CXX_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
