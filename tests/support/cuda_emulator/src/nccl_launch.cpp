#include "tests/support/cuda_emulator/src/device_memory.h"
#include "tests/support/cuda_emulator/src/nccl_communicator.h"
#include "tests/support/cuda_emulator/src/nccl_reduction.h"
#include "tests/support/cuda_emulator/src/nccl_wait.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace cuda_emulator {
namespace {

using Kind = NcclOperation::Kind;

/// The operations of one communicator in a group, or in one call.
struct Batch {
  std::shared_ptr<Communicator> communicator;
  std::shared_ptr<Stream> stream;
  std::vector<NcclOperation> operations;
};

struct Group {
  int depth = 0;
  std::vector<Batch> batches;
  std::vector<std::shared_ptr<Communicator>> unsettled;
};
thread_local Group group;

/// Runs collectives one after the other and all messages at once, since they wait for each other.
Step run_batch(const std::shared_ptr<Communicator>& communicator,
               const std::vector<NcclOperation>& operations) {
  struct Run {
    std::vector<Step> collectives, messages;
  };
  auto run = std::make_shared<Run>();
  for (const NcclOperation& operation : operations) {
    if (operation.is_collective()) {
      run->collectives.push_back(run_collective(communicator, operation));
    } else {
      run->messages.push_back(run_message(communicator, operation));
    }
  }
  std::reverse(run->collectives.begin(), run->collectives.end());
  return [run] {
    std::erase_if(run->messages, [](const Step& step) { return step(); });
    while (!run->collectives.empty() && run->collectives.back()()) run->collectives.pop_back();
    return run->messages.empty() && run->collectives.empty();
  };
}

ncclResult_t launch(Batch batch) {
  Communicator& self = *batch.communicator;
  const std::lock_guard lock(self.mutex);
  const bool captured = batch.stream->capture != nullptr;
  Work work{"NCCL",
            [communicator = batch.communicator, operations = std::move(batch.operations)] {
              return run_batch(communicator, operations);
            },
            false};
  if (enqueue(batch.stream, std::move(work), {self.last}) != cudaSuccess)
    return ncclUnhandledCudaError;
  if (!captured) self.last = end_of(batch.stream);
  if (self.blocking || self.launched_before) return ncclSuccess;
  // The first launch makes connections, so it takes a while.
  self.launched_before = true;
  self.pending = [] { return ncclSuccess; };
  return ncclInProgress;
}

/// Whether the bytes are memory of the communicator's device.
bool is_reachable(const void* data, std::size_t bytes, int device) {
  if (bytes == 0) return true;
  const Allocation allocation = find_allocation(data);
  return allocation.data != nullptr && allocation.device == device &&
         static_cast<const char*>(data) + bytes <= allocation.data + allocation.bytes;
}

bool buffers_are_good(const NcclOperation& operation, const Communicator& self) {
  const std::size_t bytes = operation.count * size_of(operation.type);
  const auto ranks = static_cast<std::size_t>(self.ranks);
  std::size_t send = bytes, receive = bytes;
  switch (operation.kind) {
    case Kind::kAllReduce:
      break;
    case Kind::kReduce:
      receive = operation.root == self.rank ? bytes : 0;
      break;
    case Kind::kBroadcast:
      send = operation.root == self.rank ? bytes : 0;
      break;
    case Kind::kReduceScatter:
      send = bytes * ranks;
      break;
    case Kind::kAllGather:
      receive = bytes * ranks;
      break;
    case Kind::kSend:
      receive = 0;
      break;
    case Kind::kReceive:
      send = 0;
      break;
  }
  return is_reachable(operation.send, send, self.device) &&
         is_reachable(operation.receive, receive, self.device);
}

ncclResult_t submit(const NcclOperation& operation, ncclComm_t comm, cudaStream_t handle) {
  if (comm == nullptr) return ncclInvalidArgument;
  const auto self = comm->communicator;
  {
    const std::lock_guard lock(self->mutex);
    if (self->pending || self->state != ncclSuccess) {
      self->error =
          "Attempt to use communicator before the previous operation returned ncclSuccess";
      return ncclInvalidArgument;
    }
  }
  const auto stream = find_stream(handle);
  if (stream == nullptr || stream->device != self->device) {
    self->error = "the stream is not of the communicator's device";
    return ncclInvalidArgument;
  }
  if (size_of(operation.type) == 0 || operation.op < ncclSum || operation.op >= ncclNumOps ||
      operation.root < 0 || operation.root >= self->ranks) {
    self->error = "a type, operator or rank that there is not";
    return ncclInvalidArgument;
  }
  if (!buffers_are_good(operation, *self)) {
    self->error = "a buffer is not memory of the communicator's device, or too short";
    return ncclInvalidArgument;
  }
  if (group.depth == 0) return launch({self, stream, {operation}});
  const auto mine = std::find_if(group.batches.begin(), group.batches.end(),
                                 [&](const Batch& batch) { return batch.communicator == self; });
  if (mine == group.batches.end()) {
    group.batches.push_back({self, stream, {operation}});
    return ncclSuccess;
  }
  if (mine->stream != stream) {
    self->error = "one communicator on two streams in a group is not emulated";
    return ncclInvalidUsage;
  }
  mine->operations.push_back(operation);
  return ncclSuccess;
}

}  // namespace

bool in_group() { return group.depth > 0; }
void finish_with_group(std::shared_ptr<Communicator> communicator) {
  group.unsettled.push_back(std::move(communicator));
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return ncclInvalidUsage;
  if (--group.depth > 0) return ncclSuccess;
  ncclResult_t result = ncclSuccess;
  for (const auto& communicator : std::exchange(group.unsettled, {})) {
    if (const ncclResult_t one = wait_until_done(*communicator); one != ncclSuccess) result = one;
  }
  for (Batch& batch : std::exchange(group.batches, {})) {
    if (const ncclResult_t one = launch(std::move(batch)); one != ncclSuccess) result = one;
  }
  return result;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return submit({Kind::kAllReduce, send, receive, count, type, op, 0}, comm, stream);
}
ncclResult_t ncclReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                        ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream) {
  return submit({Kind::kReduce, send, receive, count, type, op, root}, comm, stream);
}
ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t receive_count,
                               ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                               cudaStream_t stream) {
  return submit({Kind::kReduceScatter, send, receive, receive_count, type, op, 0}, comm, stream);
}
ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t send_count,
                           ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  return submit({Kind::kAllGather, send, receive, send_count, type, ncclSum, 0}, comm, stream);
}
ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return submit({Kind::kBroadcast, send, receive, count, type, ncclSum, root}, comm, stream);
}
ncclResult_t ncclSend(const void* send, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return submit({Kind::kSend, send, nullptr, count, type, ncclSum, peer}, comm, stream);
}
ncclResult_t ncclRecv(void* receive, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return submit({Kind::kReceive, nullptr, receive, count, type, ncclSum, peer}, comm, stream);
}
