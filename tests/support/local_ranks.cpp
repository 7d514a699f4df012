#include "parallel/comm/local/local_communicator.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

#include <thread>

namespace retinue::test {

std::vector<RankGroup> rank_groups() {
  std::vector<RankGroup> groups;
  for (const int size : {1, 2, 3, 4, 8}) groups.push_back({"local" + std::to_string(size), size});
  return groups;
}

void on_ranks(const RankGroup& group, const std::function<void(Communicator&)>& body) {
  auto ranks = make_local_group(group.size, "world", 30);
  std::vector<std::jthread> threads;
  for (auto& rank : ranks)
    threads.emplace_back([&body, comm = std::move(rank)] {
      try {
        body(*comm);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << comm->rank() << ": " << error.what();
        comm->abort(error.what());
      }
    });
}

}  // namespace retinue::test
