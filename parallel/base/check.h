#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace retinue {

/// Errors by who must act; docs and exit codes in CONTRIBUTING.md. A message reads
/// "[where] what was wanted, what was got, what to do".
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The person at the keyboard: a flag, key, mesh or file that does not fit. Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// The operator: memory, disk, MPI, a lost rank. Exit code 75: the same command goes on.
class SystemError : public Error {
 public:
  using Error::Error;
};

/// A device that failed at its work, perhaps over what it was given to do.
class DeviceError : public SystemError {
 public:
  using SystemError::SystemError;
};

/// Us: a broken invariant, a wrong shape handed to an op. Exit code 1.
class BugError : public Error {
 public:
  explicit BugError(std::string_view message,
                    std::source_location where = std::source_location::current());
};

/// Throws BugError when `ok` is false. No input, file or flag may be able to reach one.
inline void check(bool ok, std::string_view message,
                  std::source_location where = std::source_location::current()) {
  if (!ok) [[unlikely]]
    throw BugError(message, where);
}

}  // namespace retinue
