#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/nccl_communicator.h"
#include "tests/support/cuda_emulator/src/nccl_wait.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <tuple>
#include <unistd.h>
#include <vector>

namespace cuda_emulator {

ncclResult_t Communicator::poll() {
  const std::lock_guard lock(mutex);
  if (pending) {
    const ncclResult_t result = pending();
    if (result == ncclInProgress) return result;
    pending = nullptr;
    if (state == ncclSuccess) state = result;
  }
  return state;
}

namespace {

thread_local std::string thread_error;

ncclResult_t refuse(ncclResult_t result, std::string why) {
  thread_error = std::move(why);
  return result;
}

/// NCCL's name of the host: ranks of one host must have devices of their own.
std::uint64_t host_hash() {
  if (const char* id = std::getenv("NCCL_HOSTID"); id != nullptr && *id != '\0') {
    return std::hash<std::string>{}(id);
  }
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return std::hash<std::string>{}(name);
}

/// Looks for two ranks on one device.
ncclResult_t check_devices(Communicator& self) {
  for (int i = 0; i < self.ranks; ++i) {
    for (int j = i + 1; j < self.ranks; ++j) {
      const SharedRank &one = self.shared->rank(i), &two = self.shared->rank(j);
      if (one.host != two.host || one.device != two.device) continue;
      char text[160];
      std::snprintf(text, sizeof text,
                    "Duplicate GPU detected : rank %d and rank %d both on CUDA device %x000", i, j,
                    static_cast<unsigned>(one.device + 1));
      self.error = text;
      return refuse(ncclInvalidUsage, text);
    }
  }
  return ncclSuccess;
}

/// Enters the shared memory; afterwards the rank only waits for the others.
ncclResult_t enter(Communicator& self) {
  self.shared = SharedCommunicator::open(self.name, self.ranks);
  if (!self.shared) return refuse(ncclSystemError, "no shared memory for " + self.name);
  std::uint32_t ranks = 0;
  if (!self.shared->header().ranks.compare_exchange_strong(
          ranks, static_cast<std::uint32_t>(self.ranks)) &&
      ranks != static_cast<std::uint32_t>(self.ranks)) {
    return refuse(ncclInvalidArgument, "ranks disagree about their number");
  }
  SharedRank& mine = self.shared->rank(self.rank);
  if (mine.taken.exchange(1) != 0) return refuse(ncclInvalidUsage, "two ranks with one number");
  mine.host = host_hash();
  mine.device = self.device;
  mine.ready.store(1);
  return ncclSuccess;
}

bool all_ready(Communicator& self) {
  for (int i = 0; i < self.ranks; ++i) {
    if (self.shared->rank(i).ready.load() == 0) return false;
  }
  return true;
}

/// Tries to end an initialisation; repeated until it is done.
ncclResult_t await_others(Communicator& self) {
  if (!all_ready(self)) return ncclInProgress;
  self.shared->remove_name();
  return check_devices(self);
}

/// Takes part in one ncclCommSplit. Both communicators are busy until all ranks have read the other
/// ranks' groups.
class Split {
 public:
  Split(std::shared_ptr<Communicator> parent, std::shared_ptr<Communicator> child, int color,
        int key)
      : parent_(std::move(parent)),
        child_(std::move(child)),
        color_(color),
        number_(++parent_->splits) {
    SharedRank& mine = parent_->shared->rank(parent_->rank);
    mine.split_color = color;
    mine.split_key = key;
    mine.split_posted.store(number_);
  }

  ncclResult_t attempt() {
    const std::lock_guard lock(mutex_);
    if (result_ == ncclInProgress) result_ = go_on();
    return result_;
  }

 private:
  ncclResult_t go_on() {
    SharedCommunicator& shared = *parent_->shared;
    if (!chosen_) {
      for (int i = 0; i < parent_->ranks; ++i) {
        if (shared.rank(i).split_posted.load() < number_) return ncclInProgress;
      }
      if (child_) choose();
      shared.rank(parent_->rank).split_read.store(number_);
      chosen_ = true;
      if (child_) {
        if (const ncclResult_t result = enter(*child_); result != ncclSuccess) return result;
      }
    }
    for (int i = 0; i < parent_->ranks; ++i) {
      if (shared.rank(i).split_read.load() < number_) return ncclInProgress;
    }
    return child_ ? await_others(*child_) : ncclSuccess;
  }

  void choose() {
    std::vector<std::tuple<int, int>> members;  // key and rank
    for (int i = 0; i < parent_->ranks; ++i) {
      const SharedRank& other = parent_->shared->rank(i);
      if (other.split_color == color_) members.emplace_back(other.split_key, i);
    }
    std::sort(members.begin(), members.end());
    child_->ranks = static_cast<int>(members.size());
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (std::get<1>(members[i]) == parent_->rank) child_->rank = static_cast<int>(i);
    }
    child_->name = parent_->name + "-" + std::to_string(number_) + "-" + std::to_string(color_);
  }

  std::shared_ptr<Communicator> parent_, child_;
  int color_;
  std::uint64_t number_;
  bool chosen_ = false;
  std::mutex mutex_;
  ncclResult_t result_ = ncclInProgress;
};

ncclResult_t check_config(const ncclConfig_t* config) {
  if (config == nullptr) return ncclSuccess;
  if (config->magic != 0xcafebeef || config->size != sizeof(ncclConfig_t)) {
    return refuse(ncclInvalidArgument,
                  "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
  }
  return ncclSuccess;
}

bool is_blocking(const ncclConfig_t* config, bool otherwise) {
  return config == nullptr || config->blocking == NCCL_CONFIG_UNDEF_INT ? otherwise
                                                                        : config->blocking != 0;
}

/// Now, at the end of the group, or in the caller's own polls.
ncclResult_t finish(const std::shared_ptr<Communicator>& self) {
  if (!self->blocking) return ncclInProgress;
  if (in_group()) {
    finish_with_group(self);
    return ncclSuccess;
  }
  return wait_until_done(*self);
}

std::shared_ptr<Communicator> find(ncclComm_t comm) {
  return comm == nullptr ? nullptr : comm->communicator;
}

}  // namespace

ncclResult_t wait_until_done(Communicator& self) {
  ncclResult_t result = ncclInProgress;
  for (int attempt = 0; (result = self.poll()) == ncclInProgress && !self.aborted; ++attempt) {
    usleep(attempt < 100 ? 0 : 100);
  }
  return result;
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

ncclResult_t ncclGetVersion(int* version) {
  if (version == nullptr) return ncclInvalidArgument;
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (id == nullptr) return ncclInvalidArgument;
  std::random_device random;
  *id = {};
  std::snprintf(id->internal, sizeof id->internal, "/retinue-emulated-nccl-%d-%08x%08x", getpid(),
                random(), random());
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError:
      return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError:
      return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument:
      return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage:
      return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  return comm != nullptr && !comm->communicator->error.empty() ? comm->communicator->error.c_str()
                                                               : thread_error.c_str();
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (comm == nullptr) return refuse(ncclInvalidArgument, "no place for the communicator");
  *comm = nullptr;
  if (ranks < 1 || ranks > kMaxRanks || rank < 0 || rank >= ranks) {
    return refuse(ncclInvalidArgument,
                  "Invalid rank requested : " + std::to_string(rank) + "/" + std::to_string(ranks));
  }
  if (const ncclResult_t result = check_config(config); result != ncclSuccess) return result;
  if (id.internal[0] != '/') return refuse(ncclInvalidArgument, "not a unique id");
  auto self = std::make_shared<Communicator>();
  self->rank = rank;
  self->ranks = ranks;
  self->device = current_device();
  self->blocking = is_blocking(config, true);
  self->name = id.internal;
  if (const ncclResult_t result = enter(*self); result != ncclSuccess) return result;
  self->pending = [raw = self.get()] { return await_others(*raw); };
  *comm = new ncclComm{self};
  const ncclResult_t result = finish(self);
  if (result != ncclSuccess && result != ncclInProgress) {
    delete *comm;
    *comm = nullptr;
  }
  return result;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(comm, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* split,
                           ncclConfig_t* config) {
  const auto parent = find(comm);
  if (parent == nullptr || split == nullptr || color < NCCL_SPLIT_NOCOLOR)
    return ncclInvalidArgument;
  if (const ncclResult_t result = check_config(config); result != ncclSuccess) return result;
  std::shared_ptr<Communicator> child;
  *split = nullptr;
  {
    const std::lock_guard lock(parent->mutex);
    if (parent->pending || parent->state != ncclSuccess)
      return refuse(ncclInvalidArgument, "the communicator is busy or broken");
    if (color != NCCL_SPLIT_NOCOLOR) {
      child = std::make_shared<Communicator>();
      child->device = parent->device;
      child->blocking = is_blocking(config, parent->blocking);
      *split = new ncclComm{child};
    }
    auto run = std::make_shared<Split>(parent, child, color, key);
    // The split holds both communicators; poll() releases it when it is done, so that they do not
    // hold it.
    parent->pending = [run] { return run->attempt(); };
    if (child) child->pending = [run] { return run->attempt(); };
  }
  const ncclResult_t result = finish(parent);
  return child && result == ncclSuccess ? finish(child) : result;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const auto self = find(comm);
  if (self == nullptr || error == nullptr) return ncclInvalidArgument;
  *error = self->poll();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const auto self = find(comm);
  if (self == nullptr) return ncclInvalidArgument;
  {
    const std::lock_guard lock(self->mutex);
    if (self->pending) return refuse(ncclInvalidArgument, "the communicator is busy");
    self->pending = [raw = self.get()] {
      return advance(raw->last) ? ncclSuccess : ncclInProgress;
    };
  }
  return finish(self);
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  const auto self = find(comm);
  wait(self->last);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  const auto self = find(comm);
  self->aborted = true;
  const std::lock_guard lock(self->mutex);
  self->pending = nullptr;
  if (self->shared && !all_ready(*self)) self->shared->remove_name();
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
  const auto self = find(comm);
  if (self == nullptr || self->poll() != ncclSuccess) return ncclInvalidArgument;
  *count = self->ranks;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
  const auto self = find(comm);
  if (self == nullptr || self->poll() != ncclSuccess) return ncclInvalidArgument;
  *rank = self->rank;
  return ncclSuccess;
}
ncclResult_t ncclCommCuDevice(ncclComm_t comm, int* device) {
  const auto self = find(comm);
  if (self == nullptr || self->poll() != ncclSuccess) return ncclInvalidArgument;
  *device = self->device;
  return ncclSuccess;
}
