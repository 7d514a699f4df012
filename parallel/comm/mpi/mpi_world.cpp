#include "parallel/comm/mpi/mpi_world.h"

#include "parallel/base/check.h"
#include "parallel/comm/local/local_communicator.h"
#include "parallel/comm/mpi/mpi_session.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <sched.h>
#include <unistd.h>

namespace retinue {
namespace {

// With a core per rank a peer arrives within microseconds: 2,000 checks take about 50 us on Zen 4.
constexpr int kSpins = 2000;

bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

/// CPUs that the ranks of this host may use in total, however they are bound.
int cores_of(MPI_Comm node) {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  RETINUE_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &set, sizeof(set), MPI_BYTE, MPI_BOR, node));
  return CPU_COUNT(&set);
}

}  // namespace

struct World::Mpi {
  std::shared_ptr<detail::MpiSession> session = std::make_shared<detail::MpiSession>();
};

bool World::launched() {
  if (is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK")) return true;
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (tasks != nullptr && is_set("SLURM_STEP_ID") && std::atoi(tasks) > 1)
    throw UsageError(
        "[mpi] srun started several tasks without PMIx: each would be a world of its own. "
        "Use srun --mpi=pmix.");
  return false;
}

World::World(const Options& options) : host_(host_name()), exceptions_(std::uncaught_exceptions()) {
  if (!launched()) {
    comm_ = make_single("world");
    return;
  }
  int provided = MPI_THREAD_SINGLE;
  RETINUE_MPI_CHECK(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided));
  if (provided != MPI_THREAD_MULTIPLE)
    throw SystemError(fmt::format(
        "[mpi] wanted MPI_THREAD_MULTIPLE, this MPI gives level {}. Use a build with threads.",
        provided));
  mpi_ = std::make_unique<Mpi>();
  detail::MpiSession& session = *mpi_->session;
  RETINUE_MPI_CHECK(MPI_Comm_rank(MPI_COMM_WORLD, &session.world_rank));
  session.host = host_;

  MPI_Comm node = MPI_COMM_NULL;
  RETINUE_MPI_CHECK(
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node));
  RETINUE_MPI_CHECK(MPI_Comm_rank(node, &node_rank_));
  RETINUE_MPI_CHECK(MPI_Comm_size(node, &node_size_));
  session.policy.spins = node_size_ <= cores_of(node) ? kSpins : 0;
  RETINUE_MPI_CHECK(MPI_Comm_free(&node));
  session.policy.deadline_s = options.deadline_s;
  comm_ = duplicate("world");
}

World::~World() {
  comm_.reset();
  // Peers may never reach the end of a broken world: then this process only leaves, and mpirun ends
  // the rest.
  if (!mpi_ || mpi_->session->broken.is_set() || std::uncaught_exceptions() > exceptions_) return;
  detail::MpiSession& session = *mpi_->session;
  for (MPI_Win& window : session.windows) MPI_Win_free(&window);
  for (MPI_Comm& comm : session.comms) MPI_Comm_free(&comm);
  MPI_Finalize();
}

std::unique_ptr<Communicator> World::duplicate(std::string_view label, const MpiOptions& options) {
  if (!mpi_) return make_single(label);
  MPI_Comm comm = MPI_COMM_NULL;
  RETINUE_MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
  return detail::make_mpi_communicator(mpi_->session, comm, label, options);
}

void World::abort(int exit_code) noexcept {
  if (mpi_) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace retinue
