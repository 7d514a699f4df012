#pragma once

#include <cstdio>
#include <mutex>
#include <source_location>
#include <string>
#include <string_view>

namespace retinue {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// One line per event:
///   I 14:02:11.482 r0005 dp1.tp1 caption.cpp:88] text
/// level · local time · world rank · place in the mesh · source · text
/// A rank's lines go to `DIR/rank-0005.log` when a folder is given; the lines of rank 0, and errors
/// of every rank, also go to stderr.
class Log {
 public:
  struct Options {
    int rank = 0;
    std::string place;  ///< "dp0.tp1"; empty before the mesh is known
    LogLevel level = LogLevel::kInfo;
    std::string directory;  ///< empty: no file
    bool to_stderr = true;  ///< also lines below kError
  };

  explicit Log(Options options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void write(LogLevel level, std::string_view text,
             std::source_location where = std::source_location::current());
  void debug(std::string_view text, std::source_location where = std::source_location::current()) {
    write(LogLevel::kDebug, text, where);
  }
  void info(std::string_view text, std::source_location where = std::source_location::current()) {
    write(LogLevel::kInfo, text, where);
  }
  void warning(std::string_view text,
               std::source_location where = std::source_location::current()) {
    write(LogLevel::kWarning, text, where);
  }
  void error(std::string_view text, std::source_location where = std::source_location::current()) {
    write(LogLevel::kError, text, where);
  }

 private:
  Options options_;
  std::FILE* file_ = nullptr;
  std::mutex mutex_;
  std::string last_text_;
  int repeats_ = 0;
};

}  // namespace retinue
