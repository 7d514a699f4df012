// Implements ranks.h over NCCL with threads that have a device each: groups of 1, 2, 3 and 4 ranks,
// as far as there are devices.
#include "parallel/comm/local/local_communicator.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/device/cuda/runtime.h"
#include "tests/support/device_side.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

#include <thread>

namespace retinue::test {

std::vector<RankGroup> rank_groups() {
  std::vector<RankGroup> groups;
  for (const int size : {1, 2, 3, 4})
    if (size <= cuda::availability().devices)
      groups.push_back({"nccl" + std::to_string(size), size});
  return groups;
}

void on_ranks(const RankGroup& group, const std::function<void(Communicator&)>& body) {
  auto ranks = make_local_group(group.size, "world", 30);
  std::vector<std::jthread> threads;
  for (auto& rank : ranks)
    threads.emplace_back([&body, host = std::move(rank)] {
      try {
        const Device device{DeviceType::kCuda, host->rank()};
        const auto comm =
            on_device(make_nccl(*host, device, Reduce::kOrdered, "world", 30), device);
        body(*comm);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << host->rank() << ": " << error.what();
        host->abort(error.what());
      }
    });
}

}  // namespace retinue::test
