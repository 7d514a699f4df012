#include "parallel/base/log.h"

#include "parallel/base/path_error.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <chrono>

namespace retinue {

Log::Log(Options options) : options_(std::move(options)) {
  if (options_.directory.empty()) return;
  const std::string path = fmt::format("{}/rank-{:04}.log", options_.directory, options_.rank);
  file_ = std::fopen(path.c_str(), "a");
  if (file_ == nullptr) fail_to_make(path, "[--log-dir]", errno);
}

Log::~Log() {
  if (file_ != nullptr) std::fclose(file_);
}

void Log::write(LogLevel level, std::string_view text, std::source_location where) {
  if (level < options_.level) return;
  const std::lock_guard lock(mutex_);
  // A fault in a loop must not fill a disk: repeated text is counted, and one line gives the count.
  if (text == last_text_ && level < LogLevel::kError) {
    ++repeats_;
    return;
  }
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::string_view file = where.file_name();
  file = file.substr(file.find_last_of('/') + 1);
  std::string line;
  if (repeats_ > 0) line = fmt::format("  (last line {} more times)\n", repeats_);
  fmt::format_to(std::back_inserter(line), "{} {:%H:%M:%S}.{:03} r{:04}{}{} {}:{}] {}\n",
                 "DIWE"[static_cast<int>(level)],
                 fmt::localtime(std::chrono::system_clock::to_time_t(now)), ms, options_.rank,
                 options_.place.empty() ? "" : " ", options_.place, file, where.line(), text);
  last_text_ = text;
  repeats_ = 0;
  if (options_.to_stderr || level == LogLevel::kError) {
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
  }
  if (file_ != nullptr) {
    std::fwrite(line.data(), 1, line.size(), file_);
    std::fflush(file_);
  }
}

}  // namespace retinue
