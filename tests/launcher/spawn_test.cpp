#include "launcher/spawn.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <unistd.h>

namespace retinue::launcher {
namespace {

std::string text(const Launch& launch) {
  return quoted(launch_command(launch, "/bin/retinue", {"ask", "--model", "m"}));
}

TEST(Spawn, OneRankIsThisProcess) {
  EXPECT_FALSE(needs_spawn({}));
  EXPECT_EQ(text({}), "/bin/retinue ask --model m");
}

TEST(Spawn, BindsRanksToTheirCores) {
  EXPECT_EQ(text({.ranks = 4, .cores = {16, 8}}),
            "mpirun --quiet -np 4 --map-by slot:PE=2 --bind-to core --mca pml ob1 --mca btl "
            "self,vader,tcp --mca osc ^ucx,pt2pt /bin/retinue ask --model m");
}

TEST(Spawn, YieldsWhenRanksOutnumberCores) {
  EXPECT_EQ(text({.ranks = 4, .cores = {4, 2}}),
            "mpirun --quiet -np 4 --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 --mca "
            "pml ob1 --mca btl self,vader,tcp --mca osc ^ucx,pt2pt /bin/retinue ask --model m");
}

TEST(Spawn, LeavesRanksUnboundThatBindThemselves) {
  EXPECT_THAT(text({.ranks = 4, .cores = {16, 8}, .ranks_bind = true}),
              testing::StartsWith("mpirun --quiet -np 4 --bind-to none --mca pml ob1 "));
  EXPECT_THAT(text({.ranks = 4, .cores = {4, 2}, .ranks_bind = true}),
              testing::HasSubstr("-np 4 --oversubscribe --bind-to none --mca mpi_yield_when_idle"));
}

TEST(Spawn, SpeaksToOpenMpi5InItsOwnWords) {
  EXPECT_EQ(text({.ranks = 4, .cores = {4, 2}, .open_mpi = 5}),
            "mpirun -np 4 --map-by :OVERSUBSCRIBE --bind-to none --mca mpi_yield_when_idle 1 --mca "
            "pml ob1 --mca btl self,sm,tcp --mca osc ^ucx /bin/retinue ask --model m");
  EXPECT_EQ(text({.ranks = 2, .cores = {2, 2}, .open_mpi = 5}),
            "mpirun -np 2 --map-by slot:PE=1 --bind-to core --mca pml ob1 --mca btl self,sm,tcp "
            "--mca osc ^ucx /bin/retinue ask --model m");
}

TEST(Spawn, ReadsWhichOpenMpiThereIs) {
  EXPECT_EQ(open_mpi_version("mpirun (Open MPI) 4.1.4\n\nReport bugs to …", "mpirun"), 4);
  EXPECT_EQ(open_mpi_version("mpirun (Open MPI) 5.0.11", "mpirun"), 5);
  for (const char* other :
       {"HYDRA build details:\n Version: 4.0.2", "mpirun (Open MPI) 3.1.3", "mpirun (Open MPI) "})
    EXPECT_THROW((void)open_mpi_version(other, "mpirun"), UsageError) << other;
}

TEST(Spawn, AllowsMpirunToRunAsRoot) {
  EXPECT_THAT(text({.ranks = 2, .cores = {2, 2}, .root = true}),
              testing::StartsWith("mpirun --quiet --allow-run-as-root -np 2 "));
}

TEST(Spawn, FillsOneHostBeforeTheNext) {
  EXPECT_EQ(text({.ranks = 4,
                  .hosts = {{.name = "a"}, {.name = "b"}},
                  .cores = {2, 2},
                  .exported = {"RETINUE_DEADLINE_S"}}),
            "mpirun --quiet -np 4 --host a:2,b:2 --map-by slot:PE=1 --bind-to core -x "
            "RETINUE_DEADLINE_S /bin/retinue ask --model m");
  EXPECT_THAT(text({.ranks = 5, .hosts = {{"a", 4}, {"b", 1}}, .hostfile = "h", .cores = {8, 8}}),
              testing::HasSubstr("-np 5 --hostfile h --map-by slot:PE=2 --bind-to core /bin"));
}

TEST(Spawn, CountsRanksByHosts) {
  const Getenv none = [](const std::string&) { return std::nullopt; };
  EXPECT_EQ(plan_launch({}, none).ranks, 1);
  EXPECT_EQ(plan_launch({.hosts = "a,b"}, none).ranks, 2);
  EXPECT_EQ(plan_launch({.hosts = "a:2,b:4"}, none).ranks, 6);
  EXPECT_EQ(plan_launch({.ranks = 8, .hosts = "a,b"}, none).ranks, 8);
  EXPECT_THROW(plan_launch({.hostfile = "f", .hosts = "a"}, none), UsageError);
  EXPECT_THROW(plan_launch({.hostfile = "/no/such/file"}, none), UsageError);
}

TEST(Spawn, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(quoted({"a", "", "b c", "it's", "$x", "--p=1"}), "a '' 'b c' 'it'\\''s' '$x' --p=1");
}

TEST(Spawn, KilledRanksMeanRunAgain) {
  for (const int code : {0, 1, 2, 3, 4, 75}) EXPECT_EQ(exit_code_of(code), code);
  for (const int code : {9, 130, 134, 137, 139, 143}) EXPECT_EQ(exit_code_of(code), 75);
}

TEST(Spawn, PassesTheExitCodeOn) {
  EXPECT_EQ(run_command({"/bin/sh", "-c", "exit 3"}), 3);
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_command({"/bin/sh", "-c", "kill -9 $$"}), 75);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("ended with 137"));
  EXPECT_EQ(run_command({"/no/such/mpirun"}), 2);
}

TEST(Spawn, EndsALauncherThatHangsAfterItsRanksAreDead) {
  testing::internal::CaptureStderr();
  // It becomes a program that never waits for the child that it has.
  EXPECT_EQ(run_command({"/bin/sh", "-c", "sleep 0.1 & exec sleep 600"}), 75);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("ended with 137"));
}

/// What run_command() prints when two ranks end below a launcher, the second one first. The launcher
/// counts how often this process has slept between its looks, not seconds: it looks after each
/// fourth sleep.
std::string printed_of_two_ranks(const std::string& begin, const std::string& between) {
  const std::string looks = R"(
    sleeps() {
      while read key value; do
        if [ "$key" = voluntary_ctxt_switches: ]; then sleeps=$value; fi
      done </proc/$PPID/status
    }
    let_look() {
      sleeps; until=$((sleeps + 40)) reads=0
      while [ $sleeps -lt $until ] && [ $reads -lt 1000000 ]; do sleeps; reads=$((reads + 1)); done
    })";
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_command({"/bin/sh", "-c",
                         looks + "\n" + begin +
                             "OMPI_COMM_WORLD_RANK=0 sleep 600 & zero=$!\n"
                             "OMPI_COMM_WORLD_RANK=1 sleep 600 & one=$!\n"
                             "let_look; kill $one; let_look\n" +
                             between + "kill $zero; let_look; exit 137"}),
            75);
  return testing::internal::GetCapturedStderr();
}

TEST(Spawn, NamesTheRankThatEndedFirst) {
  EXPECT_THAT(printed_of_two_ranks("", ""),
              testing::ContainsRegex("the first to end was rank 1 \\(process [0-9]+\\)\\. The"));
}

TEST(Spawn, NamesNoRankWhereOthersMayHaveEndedElsewhere) {
  // A child that is no rank, as the one that reaches another machine; it ends before rank 0.
  EXPECT_THAT(printed_of_two_ranks("sleep 600 & other=$!\n", "kill $other; let_look\n"),
              testing::HasSubstr("ended with 137: a rank was killed or a machine was lost. "));
}

TEST(Spawn, TheFirstRequestToStopReachesTheRanksAsSigusr1) {
  for (const char* signal : {"TERM", "INT", "USR1"}) {
    SCOPED_TRACE(signal);
    // The child asks its parent, this process, to stop; its exit code shows what reaches it.
    EXPECT_EQ(run_command({"/bin/sh", "-c",
                           "trap 'exit 75' USR1; trap 'exit 1' TERM INT; kill -$0 $PPID; "
                           "i=0; while [ $i -lt 300 ]; do sleep 0.2; i=$((i + 1)); done; exit 0",
                           signal}),
              75);
  }
}

TEST(Spawn, TheSecondRequestToStopIsSigterm) {
  EXPECT_EQ(run_command({"/bin/sh", "-c",
                         "trap 'kill -TERM $PPID' USR1; trap 'exit 3' TERM; kill -TERM $PPID; "
                         "i=0; while [ $i -lt 300 ]; do sleep 0.2; i=$((i + 1)); done; exit 0"}),
            3);
}

}  // namespace
}  // namespace retinue::launcher
