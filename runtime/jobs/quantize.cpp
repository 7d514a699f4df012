#include "layers/weights/fp8_converter.h"
#include "parallel/base/check.h"
#include "parallel/base/exit_code.h"
#include "parallel/base/path_error.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/replica.h"
#include "runtime/jobs/stop_signal.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <thread>

namespace retinue::runtime {
namespace {

/// A line on stderr now and then: how much has been read, and the seconds that are left.
class Progress {
 public:
  explicit Progress(bool silent) : silent_(silent) {}

  void operator()(std::int64_t done, std::int64_t all) {
    const double now = seconds();
    if (silent_ || done == 0 || now < next_s_) return;
    next_s_ = now + kPeriod_s;
    const double left = now * static_cast<double>(all - done) / static_cast<double>(done);
    std::fputs(fmt::format("[quantize] {:.2f} of {:.2f} GB, {:.0f} s left\n",
                           static_cast<double>(done) / 1e9, static_cast<double>(all) / 1e9, left)
                   .c_str(),
               stderr);
  }
  [[nodiscard]] double seconds() const { return clock_.now_s() - begin_s_; }

 private:
  static constexpr double kPeriod_s = 2;
  SteadyClock clock_;
  double begin_s_ = clock_.now_s();
  bool silent_;
  double next_s_ = kPeriod_s;
};

}  // namespace

int run_quantize(const QuantizeOptions& options, std::FILE* out) {
  if (file_type_at(options.model, "[--model]") != std::filesystem::file_type::directory)
    throw UsageError(fmt::format("[--model] {}: no such folder", options.model));
  const int threads = options.threads > 0
                          ? options.threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  RunOptions source;
  source.model = options.model;
  check_weights(source, layers::load_model_config(options.model), {});
  StopSignal signal(true);
  signal.set_in_flight(true);
  Progress progress(options.quiet || options.no_progress);
  const layers::Fp8Conversion done = layers::convert_to_fp8(
      options.model, options.output, threads, [&](std::int64_t read, std::int64_t all) {
        if (signal.raised())
          throw SystemError(
              fmt::format("[stop] asked to stop: {} is not made. The same command begins again.",
                          options.output));
        progress(read, all);
      });
  if (options.quiet) return kExitDone;
  fmt::print(out,
             "{}: {} projections of the decoder are FP8, {:.2f} GB of tensors from {:.2f} GB, in "
             "{:.1f} s\n",
             options.output, done.modules, static_cast<double>(done.written_bytes) / 1e9,
             static_cast<double>(done.read_bytes) / 1e9, progress.seconds());
  if (!done.kept.empty())
    fmt::print(out, "kept as they were, without whole blocks of 128: {} projections, such as {}\n",
               done.kept.size(), done.kept.front());
  if (!done.left_out.empty())
    fmt::print(out, "not copied, as a run needs none of it: {}\n", fmt::join(done.left_out, ", "));
  // The same command would be refused now, so that this is no reason to repeat it.
  if (std::fflush(out) != 0 || std::ferror(out) != 0) {
    std::clearerr(out);
    std::fputs(fmt::format("retinue: [stdout] this summary could not be written; {} is complete.\n",
                           options.output)
                   .c_str(),
               stderr);
  }
  return kExitDone;
}

}  // namespace retinue::runtime
