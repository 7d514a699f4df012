#include "runtime/doctor/doctor.h"

#include "parallel/base/build_config.h"
#include "parallel/base/exit_code.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/comm/sweep.h"
#include "parallel/mesh/mesh.h"
#include "runtime/doctor/clock_skew.h"
#include "runtime/doctor/facts.h"
#include "runtime/doctor/probe.h"
#include "runtime/doctor/report.h"
#include "runtime/doctor/verdict.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <numeric>
#include <thread>

namespace retinue::runtime {
namespace {

/// Rank 0 waits so much longer than the others, for the message that a rank has no facts.
constexpr double kGraceSeconds = 3;

/// The next action of all ranks, which rank 0 chooses once it has their facts.
enum class Go : std::int32_t { kStop, kHostLinks, kAllLinks };

void send_text(Communicator& world, const std::string& text, int to, JobTag tag) {
  // One more byte, since an empty message cannot be sent.
  const std::string message = text + '\n';
  world.send(Stream{Device{}},
             ConstTensorView(reinterpret_cast<const std::byte*>(message.data()), DType::kU8,
                             Shape{static_cast<std::int64_t>(message.size())}),
             to, static_cast<int>(tag));
}

/// Receives the text of any rank, if one has arrived.
bool receive_text(Communicator& world, int& from, JobTag tag, std::string& text) {
  std::int64_t bytes = 0;
  from = -1;
  if (!world.probe(from, static_cast<int>(tag), bytes)) return false;
  text.resize(static_cast<std::size_t>(bytes));
  world.recv(Stream{Device{}},
             TensorView(reinterpret_cast<std::byte*>(text.data()), DType::kU8, Shape{bytes}), from,
             static_cast<int>(tag));
  text.pop_back();
  return true;
}

/// This rank's facts as text; empty when they come too late. A file system whose server is gone
/// blocks for ever, so a thread collects them: one that hangs is left behind and ends with the
/// process.
std::string look_within(const Session& session, const RunOptions& options, double seconds) {
  auto promise = std::make_shared<std::promise<std::string>>();
  std::future<std::string> answer = promise->get_future();
  std::thread([promise, &session, options] {
    try {
      promise->set_value(to_text(look_around(session, options)));
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
  }).detach();
  if (answer.wait_for(std::chrono::duration<double>(seconds)) != std::future_status::ready)
    return "";
  return answer.get();
}

/// On rank 0: receives the facts of all ranks that answer in time.
void collect(const Session& session, const std::string& own, double seconds, DoctorFacts& facts) {
  std::vector<char> answered(static_cast<std::size_t>(facts.size));
  const auto take = [&](int rank, const std::string& text) {
    answered[static_cast<std::size_t>(rank)] = 1;
    if (text.empty())
      facts.silent.push_back(rank);
    else
      facts.ranks.push_back(rank_facts(text));
  };
  take(0, own);
  const double end = session.clock.now_s() + seconds;
  while (std::ranges::count(answered, 0) > 0 && session.clock.now_s() < end) {
    int from = 0;
    std::string text;
    if (receive_text(session.world, from, JobTag::kFacts, text))
      take(from, text);
    else
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (int rank = 0; rank < facts.size; ++rank)
    if (answered[static_cast<std::size_t>(rank)] == 0) facts.silent.push_back(rank);
  std::ranges::sort(facts.silent);
  std::ranges::sort(facts.ranks, {}, &RankFacts::rank);
}

/// NCCL needs a GPU for each rank, unless --share-device lets ranks share one.
bool can_use_gpus(const DoctorFacts& facts) {
  std::map<std::pair<std::string, std::string>, int> users;
  for (const RankFacts& rank : facts.ranks) {
    if (!rank.on_gpu() || !rank.device_error.empty()) return false;
    if (++users[{rank.host, rank.pci_bus_id}] > 1 && !facts.share_device) return false;
  }
  return true;
}

std::vector<SweepFacts> as_facts(const std::vector<CollectiveSweep>& sweeps,
                                 const std::string& group, int first_rank, Device device) {
  std::vector<SweepFacts> facts;
  for (const CollectiveSweep& sweep : sweeps) {
    SweepFacts one;
    one.group = group;
    one.ranks.resize(static_cast<std::size_t>(sweep.ranks));
    std::iota(one.ranks.begin(), one.ranks.end(), first_rank);
    one.device = device.type == DeviceType::kCpu ? "cpu" : "cuda";
    one.collective = name(sweep.collective);
    one.fit = sweep.fit;
    one.cut_short = sweep.cut_short;
    one.bus_bytes_per_s = sweep.bus_bytes_per_s(sweep.points.back());
    for (const SweepPoint& point : sweep.points)
      one.points.push_back({point.bytes, point.repetitions, point.seconds, point.least_s,
                            point.most_s, sweep.bus_bytes_per_s(point), point.wrong});
    facts.push_back(std::move(one));
  }
  return facts;
}

/// Gathers the sweeps of all groups on rank 0, from their leaders. Collective over the world.
void gather_sweeps(const Session& session, const Mesh& mesh, const std::vector<SweepFacts>& own,
                   DoctorFacts& facts) {
  if (!mesh.is_leader()) return;
  if (!mesh.is_coordinator()) {
    send_text(session.world, to_text(own), 0, JobTag::kSweeps);
    return;
  }
  facts.sweeps.insert(facts.sweeps.end(), own.begin(), own.end());
  const double end = session.clock.now_s() + session.deadline_s;
  for (int missing = mesh.shape().data - 1; missing > 0;) {
    int from = 0;
    std::string text;
    if (receive_text(session.world, from, JobTag::kSweeps, text)) {
      const std::vector<SweepFacts> theirs = sweep_facts(text);
      facts.sweeps.insert(facts.sweeps.end(), theirs.begin(), theirs.end());
      --missing;
      continue;
    }
    if (session.clock.now_s() > end)
      throw SystemError("[doctor] the sweeps of a replica did not arrive. See its logs.");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Whether all of these ranks are on one host.
bool one_host(const DoctorFacts& facts, const std::vector<int>& ranks) {
  return std::ranges::all_of(ranks, [&](int rank) {
    return facts.ranks[static_cast<std::size_t>(rank)].host ==
           facts.ranks[static_cast<std::size_t>(ranks[0])].host;
  });
}

/// Measures clocks, collectives and pairs. Collective over the world. Rank 0's `facts` get each
/// result as soon as it is there: a link that fails later does not hide them.
void measure_links(const Session& session, const DoctorOptions& options, MeshShape shape,
                   Device device, bool gpus, DoctorFacts& facts) {
  Communicator& world = session.world;
  facts.clocks = compare_clocks(world, WallClock());
  const SweepOptions sweep{.seconds = options.sweep_s};
  const Stream host_stream{Device{}};
  const auto of_world = as_facts(sweep_collectives(world, world, host_stream, session.clock, sweep),
                                 "world", 0, Device{});
  if (world.rank() == 0) facts.sweeps = of_world;
  for (const PairTimes& pair : sweep_pairs(world, session.clock))
    facts.pairs.push_back({pair.a, pair.b, true, pair.latency_s, pair.bytes_per_s});
  if (shape.tensor == 1) return;
  const Mesh mesh(world, shape);
  const std::string group = fmt::format("tensor {}", mesh.data_index());
  const int first = world.rank() - mesh.tensor_index();
  std::vector<SweepFacts> own;
  if constexpr (build::kCuda)
    if (gpus) {
      if (options.run.share_device) share_device_for_tests(world.rank(), session.log);
      const Stream stream(device);
      const auto comm =
          make_nccl(mesh.tensor(), device, options.run.reduce, "tensor", session.deadline_s);
      own = as_facts(sweep_collectives(*comm, mesh.tensor(), stream, session.clock, sweep), group,
                     first, device);
    }
  if (!gpus)
    own =
        as_facts(sweep_collectives(mesh.tensor(), mesh.tensor(), host_stream, session.clock, sweep),
                 group, first, Device{});
  gather_sweeps(session, mesh, own, facts);
}

void report(const DoctorOptions& options, DoctorFacts& facts, Verdict& verdict) {
  if (facts.silent.empty()) {
    for (SweepFacts& sweep : facts.sweeps) sweep.one_host = one_host(facts, sweep.ranks);
    for (PairFacts& pair : facts.pairs) pair.one_host = one_host(facts, {pair.a, pair.b});
  }
  const std::vector<Finding> findings = judge(facts);
  verdict = overall(findings);
  const std::string text =
      options.json ? doctor_json(facts, findings) : doctor_table(facts, findings);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

/// On ranks other than 0: waits for the decision, which rank 0 always sends within its deadline.
Go receive_go(Communicator& world) {
  while (true) {
    if (const auto go = receive<Go>(world, 0, JobTag::kGo)) return *go;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

int run_doctor(const Session& session, const DoctorOptions& options) {
  Communicator& world = session.world;
  const MeshShape shape = choose_mesh(options.run, world.size());
  const auto deadline_s = static_cast<double>(options.answer_deadline_s);
  const std::string own = look_within(session, options.run, deadline_s);

  DoctorFacts facts;
  facts.size = world.size(), facts.tensor = shape.tensor;
  facts.share_device = options.run.share_device;
  facts.answer_deadline_s = deadline_s;
  Verdict verdict = Verdict::kOk;
  Go go = Go::kStop;
  if (world.rank() == 0) {
    collect(session, own, deadline_s + kGraceSeconds, facts);
    if (facts.silent.empty()) go = can_use_gpus(facts) ? Go::kAllLinks : Go::kHostLinks;
    for (int rank = 1; rank < world.size(); ++rank) post(world, go, rank, JobTag::kGo);
  } else {
    send_text(world, own, 0, JobTag::kFacts);
    go = receive_go(world);
  }
  if (go == Go::kStop) {
    if (world.rank() != 0) return kExitResume;
    report(options, facts, verdict);
    throw SystemError(fmt::format("[doctor] {} of {} ranks did not answer; see 'ranks' above.",
                                  facts.silent.size(), facts.size));
  }

  if (world.size() > 1) {
    Device device;
    if (const RankFacts mine = rank_facts(own); mine.on_gpu())
      device = {DeviceType::kCuda, std::stoi(mine.device.substr(mine.device.find(':') + 1))};
    try {
      measure_links(session, options, shape, device, go == Go::kAllLinks, facts);
    } catch (const SystemError& error) {
      if (world.rank() == 0) {
        facts.links_error = error.what();
        report(options, facts, verdict);
      }
      throw;
    }
  }
  if (world.rank() == 0) report(options, facts, verdict);
  int code = verdict == Verdict::kBroken ? kExitItemsFailed : kExitDone;
  broadcast_value(world, code);
  return code;
}

}  // namespace retinue::runtime
