#include "runtime/status/status_file.h"

#include "runtime/formats/atomic_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace retinue::runtime {

StatusFile::StatusFile(std::string path, Log& log)
    : path_(std::move(path)),
      log_(log),
      thread_([this](const std::stop_token& stop) { work(stop); }) {}

StatusFile::~StatusFile() {
  thread_.request_stop();
  thread_.join();
}

void StatusFile::publish(std::shared_ptr<const JobStatus> status) {
  newest_.put(std::make_unique<std::shared_ptr<const JobStatus>>(std::move(status)));
}

void StatusFile::work(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    write();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, std::chrono::seconds(1), [] { return false; });
  }
  write();
}

void StatusFile::write() {
  const auto status = newest_.take();
  if (status == nullptr) return;
  const std::string part = path_ + ".part";
  bool ok = false;
  try {
    const std::string text = to_json(**status) + "\n";
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ok = fd >= 0 && write_all(fd, text);
    if (fd >= 0) ok = ::close(fd) == 0 && ok;
    ok = ok && std::rename(part.c_str(), path_.c_str()) == 0;
  } catch (const std::exception&) {
    errno = ENOMEM;
  }
  if (ok || refused_) return;
  refused_ = true;
  log_.warning(fmt::format("[status] {} cannot be written: {}. The job goes on without it.", path_,
                           std::strerror(errno)));
}

}  // namespace retinue::runtime
