#pragma once

#include "tests/support/cuda_emulator/src/nccl_shared.h"
#include "tests/support/cuda_emulator/src/stream.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <nccl.h>
#include <string>

namespace cuda_emulator {

/// One rank of a communicator. Work on streams shares it, so that it outlives the handle.
struct Communicator {
  int rank = 0, ranks = 0, device = 0;
  bool blocking = true;
  std::string name;
  std::shared_ptr<SharedCommunicator> shared;
  std::atomic<bool> aborted{false};

  // Used by stream work, which runs one operation at a time.
  std::uint64_t round = 0;  // of collectives

  std::mutex mutex;  // guards the members below
  /// One attempt to finish the call that is pending; ncclInProgress when it has to wait.
  std::function<ncclResult_t()> pending;
  ncclResult_t state = ncclSuccess;
  bool launched_before = false;  // without blocking, a first launch is never done at once
  std::uint64_t splits = 0;
  Position last;  // of its work: NCCL runs one operation of a communicator at a time
  std::string error;

  /// Tries to finish the pending call.
  ncclResult_t poll();
};

/// A collective, a send or a receive.
struct NcclOperation {
  enum class Kind { kAllReduce, kReduce, kReduceScatter, kAllGather, kBroadcast, kSend, kReceive };
  Kind kind = Kind::kAllReduce;
  const void* send = nullptr;
  void* receive = nullptr;
  std::size_t count = 0;
  ncclDataType_t type = ncclFloat32;
  ncclRedOp_t op = ncclSum;
  int root = 0;  // or peer

  bool is_collective() const { return kind != Kind::kSend && kind != Kind::kReceive; }
};

/// The steps of one operation of a rank.
Step run_collective(std::shared_ptr<Communicator> communicator, const NcclOperation& operation);
Step run_message(std::shared_ptr<Communicator> communicator, const NcclOperation& operation);

}  // namespace cuda_emulator

struct ncclComm {
  std::shared_ptr<cuda_emulator::Communicator> communicator;
};
