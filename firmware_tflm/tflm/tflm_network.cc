// The interpreter of TensorFlow Lite Micro around one model. No heap: everything lies in the arena or in static memory.
#include "tflm_network.h"

#include <new>

#include "board.h"
#include "model.h"
#include "model_ops.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

// Its size is measured by kwslib.tflm: see model_ops.h.
alignas(16) uint8_t tensor_arena[kArenaBytes] ARENA_PLACE;

// Built in place by network_init: neither has a destructor to call, nor a guard.
alignas(ModelOps) uint8_t ops_memory[sizeof(ModelOps)];
alignas(tflite::MicroInterpreter) uint8_t interpreter_memory[sizeof(tflite::MicroInterpreter)];
tflite::MicroInterpreter *interpreter;

}  // namespace

const char *network_init(void)
{
    const tflite::Model *model = tflite::GetModel(g_model_data);
    if (model->version() != TFLITE_SCHEMA_VERSION) {
        return "the model has another schema version than this TensorFlow Lite Micro";
    }
    ModelOps *ops = new (ops_memory) ModelOps;
    if (add_model_ops(*ops) != kTfLiteOk) {
        return "an operator cannot be registered";
    }
    interpreter = new (interpreter_memory) tflite::MicroInterpreter(model, *ops, tensor_arena, sizeof tensor_arena);
    if (interpreter->AllocateTensors() != kTfLiteOk) {
        return "the tensors cannot be allocated: the arena is too small, or an operator refuses the model";
    }
    return nullptr;
}

const char *network_run(void)
{
    return interpreter->Invoke() == kTfLiteOk ? nullptr : "an operator failed";
}

void *network_input(void)
{
    return interpreter->input(0)->data.raw;
}

const void *network_output(void)
{
    return interpreter->output(0)->data.raw;
}

uint32_t network_input_bytes(void)
{
    return static_cast<uint32_t>(interpreter->input(0)->bytes);
}

uint32_t network_output_bytes(void)
{
    return static_cast<uint32_t>(interpreter->output(0)->bytes);
}

uint32_t network_arena_bytes(void)
{
    return static_cast<uint32_t>(interpreter->arena_used_bytes());
}
