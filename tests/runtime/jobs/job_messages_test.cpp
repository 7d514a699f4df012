#include "runtime/jobs/job_messages.h"

#include "parallel/base/check.h"
#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

TEST(JobMessages, EveryRankThrowsTheErrorOfRankZero) {
  EXPECT_THROW(test::run_job(3,
                             [](const Session& session) {
                               on_coordinator(session.world,
                                              [] { throw UsageError("[x] not so"); });
                               return 0;
                             }),
               UsageError);
}

TEST(JobMessages, EveryRankReceivesTheExitCode) {
  EXPECT_EQ(test::run_job(3,
                          [](const Session& session) {
                            if (session.world.rank() != 0) return await_end(session.world);
                            announce_end(session.world, 3);
                            return 3;
                          }),
            3);
}

}  // namespace
}  // namespace retinue::runtime
