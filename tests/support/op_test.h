#pragma once

#include "layers/ops/matmul.h"
#include "parallel/base/build_config.h"
#include "parallel/device/context.h"
#include "parallel/device/cuda/runtime.h"
#include "tests/support/guarded.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::test {

/// The instruction sets of this machine, narrowest first.
inline std::vector<CpuIsa> cpu_isas() {
  std::vector<CpuIsa> isas;
  for (int i = 0; i <= static_cast<int>(detect_cpu_isa()); ++i)
    isas.push_back(static_cast<CpuIsa>(i));
  return isas;
}

/// A context on the test's device, with memory of its own. On CUDA it waits for each op, so that
/// Guarded can update its copy on the host without knowing the stream.
class TestContext {
 public:
  explicit TestContext(int threads = 1, CpuIsa isa = detect_cpu_isa(),
                       std::size_t scratch_bytes = std::size_t{64} << 20,
                       std::size_t activation_bytes = std::size_t{1} << 20)
      : ctx_(test_device(), threads,
             Buffer(ledger_, test_device(), activation_bytes, MemoryTag::kActivations),
             Buffer(ledger_, test_device(), scratch_bytes, MemoryTag::kScratch)) {
    ctx_.set_cpu_isa(isa);
    if (test_device().type == DeviceType::kCuda) ctx_.set_waits_after_ops(true);
  }
  operator Context&() { return ctx_; }  // NOLINT: implicit
  Context* operator->() { return &ctx_; }

 private:
  MemoryLedger ledger_;
  Context ctx_;
};

/// A weight [outputs, inputs] and its packed form. Padding is zero, as the loader leaves it.
template <class T>
class Packed {
 public:
  Packed(Context& ctx, Guarded<T>& rows, std::int64_t outputs, std::int64_t inputs)
      : data_(Guarded<T>::filled(Shape{packed_size(outputs, inputs)}, T{})) {
    matrix_ = {data_.view(), outputs, inputs};
    ops::pack_rows(ctx, rows, 0, matrix_);
  }
  [[nodiscard]] const ops::PackedMatrix& matrix() const { return matrix_; }
  [[nodiscard]] bool intact() { return data_.intact(); }

 private:
  static std::int64_t packed_size(std::int64_t outputs, std::int64_t inputs) {
    return ops::packed_numel(test_device(), dtype_of<T>(), outputs, inputs);
  }
  Guarded<T> data_;
  ops::PackedMatrix matrix_;
};

/// Whether the running body is the f32 half of a table or of a typed test.
inline bool& in_f32() {
  thread_local bool f32 = false;
  return f32;
}

/// body(T{}) for f32 and bf16.
template <class Body>
void for_dtype(DType dtype, Body&& body) {
  in_f32() = dtype == DType::kF32;
  dtype == DType::kF32 ? body(float{}) : body(BFloat16{});
  in_f32() = false;
}

/// Whether this body also runs on CUDA: only where there is a device, and not in f32, which the
/// large kernels do not support there.
inline bool runs_on_cuda() {
  if constexpr (build::kCuda) {
    const char* type = testing::UnitTest::GetInstance()->current_test_info()->type_param();
    if (in_f32() || (type != nullptr && std::string_view(type) == "float")) return false;
    return cuda::availability().devices > 0;
  }
  return false;
}

/// Runs body(ctx) on every instruction set and then on CUDA (see above), there with rows of tensors
/// unaligned and aligned. A trace names the instruction set or device.
template <class Body>
void for_each_isa(Body&& body, int threads = 2) {
  for (const CpuIsa isa : cpu_isas()) {
    SCOPED_TRACE(std::string(name(isa)));
    TestContext ctx(threads, isa);
    body(static_cast<Context&>(ctx));
  }
  if (!runs_on_cuda()) return;
  // Recorded in the results, to distinguish a run on a GPU from one that passed without it.
  testing::Test::RecordProperty("cuda", 1);
  struct OnCuda {
    explicit OnCuda(bool aligned) {
      test_device() = {DeviceType::kCuda, 0};
      aligns_rows() = aligned;
    }
    ~OnCuda() {
      test_device() = {};
      aligns_rows() = false;
    }
  };
  for (const bool aligned : {false, true}) {
    SCOPED_TRACE(aligned ? "cuda, rows aligned" : "cuda");
    const OnCuda on_cuda(aligned);
    TestContext ctx;
    body(static_cast<Context&>(ctx));
  }
}

/// A case of a table in one dtype: "cpu_bf16_tokens7_hidden5120".
template <class Case>
struct Instance {
  DType dtype;
  Case shape;
  friend void PrintTo(const Instance& i, std::ostream* out) { *out << instance_text(i); }
  static std::string instance_text(const Instance& i) {
    return "cpu_" + std::string(name(i.dtype)) + "_" + i.shape.text();
  }
};
template <class Case>
std::vector<Instance<Case>> in_each_dtype(const std::vector<Case>& cases) {
  std::vector<Instance<Case>> out;
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const Case& c : cases) out.push_back({dtype, c});
  return out;
}
struct InstanceName {
  template <class Info>
  std::string operator()(const Info& info) const {
    return info.param.instance_text(info.param);
  }
};
inline std::string dims(std::initializer_list<std::pair<const char*, std::int64_t>> parts) {
  std::string text;
  for (const auto& [word, n] : parts)
    text += (text.empty() ? "" : "_") + std::string(word) + std::to_string(n);
  return text;
}
/// For tables of matrices.
struct RowsWidth {
  std::int64_t rows, width;
  [[nodiscard]] std::string text() const { return dims({{"tokens", rows}, {"hidden", width}}); }
};

}  // namespace retinue::test
