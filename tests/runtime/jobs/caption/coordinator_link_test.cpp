#include "runtime/jobs/caption/coordinator_link.h"

#include "parallel/comm/local/local_communicator.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace retinue::runtime {
namespace {

std::vector<std::int64_t> items_of(const ItemBatch& batch) {
  return {batch.items.begin(), batch.items.begin() + batch.count};
}

/// A job of ten items for two replicas of one rank each. Both ranks are called from one thread:
/// nothing in a link waits.
class Link : public testing::Test {
 protected:
  static constexpr MeshShape kShape{.data = 2, .tensor = 1};

  Link() {
    std::vector<Item> items(10);
    for (std::size_t i = 0; i < items.size(); ++i) items[i].id = std::to_string(i);
    job_.items = ItemTable::of(items);
    job_.open.assign(items.size(), 1);
    job_.open_count = 10;
    std::jthread other([&] { meshes_[1] = std::make_unique<Mesh>(*world_[1], kShape); });
    meshes_[0] = std::make_unique<Mesh>(*world_[0], kShape);
  }

  static CaptionOptions options() {
    CaptionOptions options;
    options.run = test::golden_run("gqa8-tied");
    options.max_failures = {.limit = 2.0};
    return options;
  }

  Session session(std::size_t rank) {
    return {.world = *world_[rank], .node_size = 2, .log = log_, .clock = clock_};
  }

  /// Exchanges messages over `link`; returns the codes of the orders that came.
  static std::vector<int> exchange(CoordinatorLink& link, const Counts& own) {
    std::vector<int> codes;
    link.exchange(
        own,
        [&] {
          RankState state;
          state.finished = own.finished;
          return state;
        },
        [&](const StopOrder& order) { codes.push_back(order.code); });
    return codes;
  }

  SteadyClock clock_;
  Log log_{
      {.rank = 0, .place = "", .level = LogLevel::kError, .directory = "", .to_stderr = false}};
  std::vector<std::unique_ptr<Communicator>> world_ = make_local_group(2, "world", 60);
  Session first_ = session(0), second_ = session(1);
  CaptionJob job_ = prepare_caption(options());
  std::array<std::unique_ptr<Mesh>, 2> meshes_;
  Progress progress_{{.items = 10, .replicas = 2, .show = false}, log_, clock_};
  StatusBoard board_{JobStatus::Job{.mesh = kShape}, clock_};
};

TEST_F(Link, BothImplementationsShareOneWorkQueue) {
  CaptionCoordinator coordinator(first_, *meshes_[0], job_, progress_, board_, nullptr);
  const auto own = in_process_link(first_, coordinator), other = message_link(second_);
  std::set<std::int64_t> claimed;
  const auto add = [&](const ItemBatch& batch) {
    for (const std::int64_t item : items_of(batch)) EXPECT_TRUE(claimed.insert(item).second);
  };
  for (int round = 0; claimed.size() < 10 && round < 20; ++round) {
    if (const auto batch = own->claim(2)) add(*batch);
    EXPECT_FALSE(other->claim(2)) << "the answer is not there yet";
    EXPECT_FALSE(other->claim(2)) << "one claim at a time";
    exchange(*own, {});
    const auto batch = other->claim(0);
    ASSERT_TRUE(batch);
    add(*batch);
  }
  EXPECT_EQ(claimed.size(), 10U);
  EXPECT_EQ(own->claim(1)->left, 0);
}

TEST_F(Link, AClaimForNothingSendsNothing) {
  CaptionCoordinator coordinator(first_, *meshes_[0], job_, progress_, board_, nullptr);
  const auto own = in_process_link(first_, coordinator), other = message_link(second_);
  EXPECT_FALSE(own->claim(0));
  EXPECT_FALSE(other->claim(-1));
  exchange(*own, {});
  EXPECT_FALSE(other->claim(0));
}

TEST_F(Link, AnOrderReachesEveryLeaderOnce) {
  CaptionCoordinator coordinator(first_, *meshes_[0], job_, progress_, board_, nullptr);
  const auto own = in_process_link(first_, coordinator), other = message_link(second_);
  Counts counts;
  counts.failed = 2;
  EXPECT_THAT(exchange(*own, counts), testing::IsEmpty());
  counts.failed = 3;
  EXPECT_THAT(exchange(*own, counts), testing::ElementsAre(4)) << "--max-failures is 2";
  EXPECT_THAT(exchange(*own, counts), testing::IsEmpty());
  EXPECT_THAT(exchange(*other, {}), testing::ElementsAre(4));
  EXPECT_THAT(exchange(*other, {}), testing::IsEmpty());
}

TEST_F(Link, TheFailuresOfAllLeadersCountTogether) {
  CaptionCoordinator coordinator(first_, *meshes_[0], job_, progress_, board_, nullptr);
  const auto own = in_process_link(first_, coordinator), other = message_link(second_);
  Counts of_other;
  of_other.failed = 2;
  of_other.finished = true;  // finished counts are reported at once
  exchange(*other, of_other);
  Counts counts;
  counts.failed = 1;
  EXPECT_THAT(exchange(*own, counts), testing::ElementsAre(4));
  EXPECT_EQ(own->total(counts).failed, 3);
  EXPECT_EQ(other->total(of_other).failed, 2);
}

TEST_F(Link, ASignalThatHurriesKeepsTheCodeOfTheStop) {
  CaptionCoordinator coordinator(first_, *meshes_[0], job_, progress_, board_, nullptr);
  const auto own = in_process_link(first_, coordinator);
  Counts counts;
  counts.interrupted = counts.hurried = true;
  EXPECT_THAT(exchange(*own, counts), testing::ElementsAre(75, 75)) << "to stop, and to hurry";
  counts.failed = 3;
  EXPECT_THAT(exchange(*own, counts), testing::IsEmpty()) << "it stops already";
}

TEST_F(Link, TheCoordinatorLeavesLast) {
  CaptionCoordinator coordinator(first_, *meshes_[0], job_, progress_, board_, nullptr);
  const auto own = in_process_link(first_, coordinator), other = message_link(second_);
  Counts finished;
  finished.finished = true;
  exchange(*own, finished);
  EXPECT_FALSE(own->may_leave(finished));
  exchange(*other, finished);
  EXPECT_TRUE(other->may_leave(finished));
  exchange(*own, finished);
  EXPECT_TRUE(own->may_leave(finished));
}

}  // namespace
}  // namespace retinue::runtime
