#pragma once

// Tested through tests/parallel/base/result_test.cpp.

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace retinue {

/// Errors by who must act; CONTRIBUTING.md has the exit codes. A message reads
/// "[where] what was wanted, what was got, what to do".
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The user must act: a flag, key, mesh or file does not fit. Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// The operator must act: memory, disk, MPI, a lost rank. Exit code 75: the same command resumes.
class SystemError : public Error {
 public:
  using Error::Error;
};

/// A device failed at its work. The work itself may be the cause: it may fail again.
class DeviceError : public SystemError {
 public:
  using SystemError::SystemError;
};

/// The developers must act: a broken invariant, a wrong shape in the call of an op. Exit code 1.
class BugError : public Error {
 public:
  explicit BugError(std::string_view message,
                    std::source_location where = std::source_location::current());
};

/// Throws BugError when `ok` is false. No input, file or flag may make it false.
inline void check(bool ok, std::string_view message,
                  std::source_location where = std::source_location::current()) {
  if (!ok) [[unlikely]]
    throw BugError(message, where);
}

}  // namespace retinue
