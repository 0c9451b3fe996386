# Writes REVISION (a git description, or "unknown" outside a checkout) into ${OUTPUT} if it changed.
execute_process(COMMAND git --no-optional-locks describe --always --dirty --exclude=* WORKING_DIRECTORY ${SOURCE}
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
    set(revision unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "/* Written at build time. */\n#define REVISION \"${revision}\"\n")
