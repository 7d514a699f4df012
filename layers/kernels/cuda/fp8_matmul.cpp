#include "layers/ops/fp8_matmul.h"

#include "parallel/base/check.h"

// FP8 checkpoints are refused where a job chooses CUDA (runtime/jobs/model_files.cpp), so that no
// model gets here.

namespace retinue::ops::detail {

void fp8_matmul(Cuda, Context& /*ctx*/, const MatmulArgs& /*args*/) {
  check(false, "fp8_matmul: CUDA multiplies no f8_e4m3");
}

void pack_scales(Cuda, Context& /*ctx*/, ConstTensorView /*scales*/, std::int64_t /*first*/,
                 std::int64_t /*begin*/, std::int64_t /*end*/, const PackedMatrix& /*w*/) {
  check(false, "pack_scales: CUDA multiplies no f8_e4m3");
}

}  // namespace retinue::ops::detail
