// A registration that hands an operator of TensorFlow Lite Micro to our kernels, in C.
#include "our_kernels.h"

#include "tensorflow/lite/kernels/kernel_util.h"
#include "tensorflow/lite/micro/kernels/kernel_util.h"
#include "tensorflow/lite/micro/micro_context.h"

namespace {

// What an operator of the graph keeps in the arena.
struct OperatorData {
    const our_operator_t *op;
    int scratch_index;
};

const our_operator_t *find_operator(const TfLiteNode *node)
{
    for (uint32_t i = 0; i < our_operator_count; i++) {
        if (our_operators[i].output_tensor == node->outputs->data[0]) {
            return &our_operators[i];
        }
    }
    return nullptr;
}

void *init(TfLiteContext *context, const char *, size_t)
{
    return context->AllocatePersistentBuffer(context, sizeof(OperatorData));
}

// The kernels hold shapes and weights as constants: a model that has others than they were made from is refused.
TfLiteStatus prepare(TfLiteContext *context, TfLiteNode *node)
{
    auto *data = static_cast<OperatorData *>(node->user_data);
    data->op = find_operator(node);
    data->scratch_index = -1;
    TF_LITE_ENSURE(context, data->op != nullptr);
    tflite::MicroContext *micro_context = tflite::GetMicroContext(context);
    TfLiteTensor *input = micro_context->AllocateTempInputTensor(node, 0);
    TfLiteTensor *output = micro_context->AllocateTempOutputTensor(node, 0);
    TF_LITE_ENSURE(context, input != nullptr && output != nullptr);
    TF_LITE_ENSURE_EQ(context, input->bytes, data->op->input_bytes);
    TF_LITE_ENSURE_EQ(context, output->bytes, data->op->output_bytes);
    micro_context->DeallocateTempTfLiteTensor(input);
    micro_context->DeallocateTempTfLiteTensor(output);
    if (data->op->scratch_bytes == 0) {
        return kTfLiteOk;
    }
    return context->RequestScratchBufferInArena(context, data->op->scratch_bytes + data->op->scratch_alignment,
                                                &data->scratch_index);
}

TfLiteStatus invoke(TfLiteContext *context, TfLiteNode *node)
{
    const auto *data = static_cast<const OperatorData *>(node->user_data);
    const void *inputs[OUR_INPUTS] = {};
    for (uint32_t i = 0; i < data->op->inputs && i < OUR_INPUTS; i++) {
        inputs[i] = tflite::micro::GetEvalInput(context, node, static_cast<int>(i))->data.raw;
    }
    TfLiteEvalTensor *output = tflite::micro::GetEvalOutput(context, node, 0);
    uint8_t *scratch = nullptr;
    if (data->scratch_index >= 0) {
        scratch = static_cast<uint8_t *>(context->GetScratchBuffer(context, data->scratch_index));
        scratch += -reinterpret_cast<uintptr_t>(scratch) % data->op->scratch_alignment; // up to the next multiple
    }
    data->op->run(inputs, output->data.raw, scratch);
    return kTfLiteOk;
}

}  // namespace

TFLMRegistration our_registration(void)
{
    return tflite::micro::RegisterOp(init, prepare, invoke);
}
