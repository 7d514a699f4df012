// One file: a verdict is a bound, a comparison and an advice, and bounds are read beside each
// other.
#include "runtime/doctor/verdict.h"

#include "parallel/base/check.h"
#include "parallel/base/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <utility>

namespace retinue::runtime {
namespace {

using namespace doctor;

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.1f} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.0f} MB", bytes / 1e6);
  if (bytes >= 1e3) return fmt::format("{:.0f} kB", bytes / 1e3);
  return fmt::format("{:.0f} B", bytes);
}
std::string bytes_text(std::int64_t bytes) { return bytes_text(static_cast<double>(bytes)); }
std::string rate_text(double bytes_per_s) {
  if (bytes_per_s >= 1e8) return fmt::format("{:.2f} GB/s", bytes_per_s / 1e9);
  return fmt::format("{:.2f} MB/s", bytes_per_s / 1e6);
}
std::string time_text(double seconds) {
  if (std::abs(seconds) < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (std::abs(seconds) < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.1f} s", seconds);
}

class Judge {
 public:
  explicit Judge(const DoctorFacts& facts) : facts_(facts) {}

  std::vector<Finding> all() {
    ranks();
    if (facts_.ranks.empty()) return std::move(findings_);
    program();
    kernels();
    model();
    devices();
    cores();
    limits();
    shared_memory();
    memory();
    disk();
    reading();
    clocks();
    sweeps();
    pairs();
    return std::move(findings_);
  }

 private:
  using Text = std::function<std::string(const RankFacts&)>;

  void add(std::string what, Verdict verdict, std::string found, std::string advice = {},
           std::vector<int> ranks = {}) {
    findings_.push_back(
        {std::move(what), verdict, std::move(found), std::move(advice), std::move(ranks)});
  }

  [[nodiscard]] const RankFacts& of(int rank) const {
    return *std::ranges::find(facts_.ranks, rank, &RankFacts::rank);
  }
  /// "3 (hostb)", "1 (hosta), 3 (hostb)"; long lists end in a number.
  [[nodiscard]] std::string named(const std::vector<int>& ranks) const {
    constexpr std::size_t kMost = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(ranks.size(), kMost); ++i) {
      const auto found = std::ranges::find(facts_.ranks, ranks[i], &RankFacts::rank);
      text += fmt::format("{}{}", text.empty() ? "" : ", ", ranks[i]);
      if (found != facts_.ranks.end()) text += fmt::format(" ({})", found->host);
    }
    if (ranks.size() > kMost) text += fmt::format(" and {} more", ranks.size() - kMost);
    return (ranks.size() == 1 ? "rank " : "ranks ") + text;
  }
  [[nodiscard]] std::vector<int> which(const std::function<bool(const RankFacts&)>& is) const {
    std::vector<int> ranks;
    for (const RankFacts& one : facts_.ranks)
      if (is(one)) ranks.push_back(one.rank);
    return ranks;
  }
  /// Ranks whose text is not that of most; of equally many, that of the lowest rank counts.
  [[nodiscard]] std::vector<int> odd(const Text& text, std::string& usual) const {
    std::map<std::string, std::pair<int, int>> counts;  // text → how many, minus the first rank
    for (const RankFacts& one : facts_.ranks) {
      auto& [count, first] = counts.try_emplace(text(one), 0, -one.rank).first->second;
      ++count;
    }
    usual =
        std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first;
    return which([&](const RankFacts& one) { return text(one) != usual; });
  }
  [[nodiscard]] std::map<std::string, std::vector<const RankFacts*>> hosts() const {
    std::map<std::string, std::vector<const RankFacts*>> hosts;
    for (const RankFacts& one : facts_.ranks) hosts[one.host].push_back(&one);
    return hosts;
  }
  static std::vector<int> ranks_of(const std::vector<const RankFacts*>& some) {
    std::vector<int> ranks;
    for (const RankFacts* one : some) ranks.push_back(one->rank);
    return ranks;
  }
  [[nodiscard]] bool on_gpus() const {
    return std::ranges::any_of(facts_.ranks,
                               [](const RankFacts& one) { return one.device != "cpu"; });
  }

  /// A finding about what all ranks should have alike.
  void agreement(const std::string& what, const Text& text, Verdict otherwise,
                 const std::string& advice, const std::function<std::string(std::string)>& shown) {
    std::string usual;
    const std::vector<int> others = odd(text, usual);
    if (others.empty())
      return add(what, Verdict::kOk,
                 fmt::format("{}{}", shown(usual), facts_.ranks.size() > 1 ? ", all alike" : ""));
    std::string found = fmt::format("most ranks have {};", shown(usual));
    for (std::size_t i = 0; i < std::min<std::size_t>(others.size(), 3); ++i)
      found += fmt::format(" {} {}", named({others[i]}), shown(text(of(others[i]))));
    add(what, otherwise, found, advice, others);
  }

  void ranks() {
    const std::string mesh =
        fmt::format("{} on {} host(s), {} replica(s) of {}", facts_.size, hosts().size(),
                    facts_.size / facts_.tensor, facts_.tensor);
    if (facts_.silent.empty()) return add("ranks", Verdict::kOk, mesh);
    add("ranks", Verdict::kBroken,
        fmt::format("{} did not answer within {:.0f} s", named(facts_.silent),
                    facts_.answer_deadline_s),
        "Something there hangs: a file system, a GPU or the machine. Look at it by hand (ls of the "
        "model folder, df, nvidia-smi), or give a longer --answer-deadline-s.",
        facts_.silent);
  }

  void program() {
    const auto shortened = [](const std::string& hash) {
      return hash.empty() ? std::string("no readable file") : "sha256 " + hash.substr(0, 12);
    };
    agreement(
        "binary", [](const RankFacts& one) { return one.binary_sha256; }, Verdict::kBroken,
        "All ranks need one executable: copy it again, or put it where all hosts see it.",
        shortened);
    agreement(
        "version",
        [](const RankFacts& one) {
          return fmt::format("{} ({}; {})", one.version, one.revision, one.build);
        },
        Verdict::kBroken, "Install one build on all hosts.", [](std::string text) { return text; });
  }

  void kernels() {
    agreement(
        "kernels",
        [](const RankFacts& one) { return fmt::format("{} {}", one.kernels, one.numerics); },
        Verdict::kBroken,
        "Captions would depend on the rank that makes them. Use hosts with one kind of processor "
        "or GPU, or one job per kind.",
        [](const std::string& text) {
          return fmt::format("{} (numerics {})", text.substr(0, text.find(' ')),
                             text.substr(text.find(' ') + 1));
        });
  }

  void model() {
    if (of(facts_.ranks[0].rank).model.empty()) return;
    const auto unusable = which([](const RankFacts& one) { return !one.model_error.empty(); });
    if (!unusable.empty())
      return add("model", Verdict::kBroken,
                 fmt::format("{}: {}", named(unusable), of(unusable[0]).model_error),
                 "Copy the model folder again, or correct --model.", unusable);
    agreement(
        "model",
        [](const RankFacts& one) {
          return fmt::format("{} {}", one.model_identity, one.weights_bytes);
        },
        Verdict::kBroken,
        "The folders hold different models. Copy one to all hosts, or put it where all see it.",
        [](const std::string& text) {
          const double bytes = std::stod(text.substr(text.find(' ') + 1));
          return fmt::format("{}{}", text.substr(0, 12),
                             bytes < 0 ? "" : ", weights " + bytes_text(bytes));
        });
  }

  void devices() {
    const auto without = which([](const RankFacts& one) { return !one.device_error.empty(); });
    if (!without.empty())
      return add(
          "device", Verdict::kBroken,
          fmt::format("{} has no GPU: {}", named(without), of(without[0]).device_error),
          "Look at driver and container (nvidia-smi, --gpus all), leave the host out, or use "
          "--device cpu.",
          without);
    if (!on_gpus()) return add("device", Verdict::kOk, fmt::format("cpu: {}", cpu_names()));
    std::map<std::pair<std::string, std::string>, std::vector<int>> users;
    for (const RankFacts& one : facts_.ranks) users[{one.host, one.pci_bus_id}].push_back(one.rank);
    for (const auto& [place, ranks] : users)
      if (ranks.size() > 1 && !facts_.share_device)
        add("device", Verdict::kBroken,
            fmt::format("{} would share the GPU {} of {}", named(ranks), place.second, place.first),
            "Start one rank per GPU; for a correctness run give --share-device.", ranks);
    agreement(
        "device", [](const RankFacts& one) { return one.gpu_name; }, Verdict::kSlow,
        "The slowest kind sets the pace of a replica: use one kind, or one job per kind.",
        [](std::string text) { return text.empty() ? "cpu" : text; });
    agreement(
        "driver", [](const RankFacts& one) { return one.driver; }, Verdict::kSlow,
        "Install one driver on all hosts: libraries choose other ways with another one.",
        [](std::string text) { return text.empty() ? "not told" : text; });
    gpu_clocks();
    gpu_errors();
    gpu_memory();
  }

  [[nodiscard]] std::string cpu_names() const {
    std::set<std::string> names;
    for (const RankFacts& one : facts_.ranks) names.insert(one.cpu_name);
    std::string text;
    for (const std::string& one : names) text += (text.empty() ? "" : "; ") + one;
    return text;
  }

  void gpu_clocks() {
    const auto told = which([](const RankFacts& one) { return one.gpu.sm_clock_mhz > 0; });
    if (told.empty()) return;
    const auto held = which([](const RankFacts& one) {
      return one.gpu.throttle_reasons > 0 && (one.gpu.throttle_reasons & kHeldBack) != 0 &&
             one.gpu.sm_clock_mhz < kLowClock * one.gpu.most_sm_clock_mhz;
    });
    const NvmlFacts& gpu = of(held.empty() ? told[0] : held[0]).gpu;
    const std::string found =
        fmt::format("{} of {} MHz, memory {} of {} MHz, {} C, {:.0f} W", gpu.sm_clock_mhz,
                    gpu.most_sm_clock_mhz, gpu.memory_clock_mhz, gpu.most_memory_clock_mhz,
                    gpu.celsius, gpu.watts);
    if (held.empty()) return add("GPU clocks", Verdict::kOk, found);
    add("GPU clocks", Verdict::kSlow,
        fmt::format("{} held back (reasons {:#x}): {}", named(held), gpu.throttle_reasons, found),
        "Look at cooling and power of these hosts (nvidia-smi -q -d PERFORMANCE).", held);
  }

  void gpu_errors() {
    const auto told = which([](const RankFacts& one) { return one.gpu.ecc >= 0; });
    if (told.empty()) return;
    const auto faulty = which([](const RankFacts& one) { return one.gpu.uncorrected_errors > 0; });
    if (!faulty.empty())
      return add(
          "GPU memory errors", Verdict::kBroken,
          fmt::format("{} has {} uncorrected errors", named(faulty),
                      of(faulty[0]).gpu.uncorrected_errors),
          "Take the host out of service and reset or replace the GPU (nvidia-smi -q -d ECC).",
          faulty);
    const auto off = which([](const RankFacts& one) { return one.gpu.ecc == 0; });
    add("GPU memory errors", Verdict::kOk,
        off.empty() ? "none uncorrected" : fmt::format("not counted, ECC is off: {}", named(off)));
  }

  void gpu_memory() {
    const auto told = which(
        [](const RankFacts& one) { return one.gpu.memory_bytes > 0 && one.gpu.free_bytes >= 0; });
    if (told.empty()) return;
    const auto taken = which([](const RankFacts& one) {
      return one.gpu.memory_bytes > 0 && one.gpu.free_bytes >= 0 &&
             static_cast<double>(one.gpu.free_bytes) <
                 (1 - kGpuMemoryTaken) * static_cast<double>(one.gpu.memory_bytes);
    });
    const NvmlFacts& gpu = of(taken.empty() ? told[0] : taken[0]).gpu;
    const std::string found =
        fmt::format("{} free of {}", bytes_text(gpu.free_bytes), bytes_text(gpu.memory_bytes));
    if (taken.empty()) return add("GPU memory", Verdict::kOk, found);
    add("GPU memory", Verdict::kSlow, fmt::format("{}: {}", named(taken), found),
        "Something else holds the rest (nvidia-smi): a job gets a smaller cache, or none.", taken);
  }

  void cores() {
    std::vector<int> crowded, spread;
    std::string worst;
    for (const auto& [host, some] : hosts()) {
      // Ranks bound to different CPUs share nothing; those of equal sets share these.
      std::map<std::string, std::vector<const RankFacts*>> sets;
      for (const RankFacts* one : some) sets[one->cpus].push_back(one);
      for (const auto& [cpus, sharing] : sets) {
        if (static_cast<int>(sharing.size()) <= sharing[0]->cores) continue;
        for (const RankFacts* one : sharing) crowded.push_back(one->rank);
        worst = fmt::format("{} ranks on the {} core(s) {} of {}", sharing.size(),
                            sharing[0]->cores, cpus, host);
      }
      for (const RankFacts* one : some)
        if (some.size() > 1 && one->nodes.find_first_of(",-") != one->nodes.npos)
          spread.push_back(one->rank);
    }
    if (!crowded.empty())
      return add("cores", Verdict::kSlow, worst,
                 "Ranks take turns, and every collective waits for the last: start fewer ranks, or "
                 "bind them to cores of their own.",
                 crowded);
    if (!spread.empty())
      return add("cores", Verdict::kSlow,
                 fmt::format("{} may run on NUMA nodes {}", named(spread), of(spread[0]).nodes),
                 "Threads would reach over to memory of the other node: bind each rank to one node "
                 "(mpirun --map-by numa --bind-to numa).",
                 spread);
    const RankFacts& first = facts_.ranks[0];
    add("cores", Verdict::kOk,
        fmt::format("{} core(s), {} thread(s) per rank, NUMA node(s) {}", first.cores,
                    first.threads, first.nodes));
  }

  void limits() {
    const auto below = [&](auto member, std::int64_t least) {
      return which([=](const RankFacts& one) { return one.*member >= 0 && one.*member < least; });
    };
    const auto text = [](std::int64_t limit) {
      if (limit == -1) return std::string("unlimited");
      return limit < 0 ? std::string("not told") : std::to_string(limit);
    };
    if (const auto few = below(&RankFacts::open_files, kLeastOpenFiles); !few.empty())
      add("open files", Verdict::kBroken,
          fmt::format("{} may open {}", named(few), of(few[0]).open_files),
          fmt::format("Raise the limit to {} or more (ulimit -n, LimitNOFILE).", kUsualOpenFiles),
          few);
    else if (const auto less = below(&RankFacts::open_files, kUsualOpenFiles); !less.empty())
      add("open files", Verdict::kSlow,
          fmt::format("{} may open {}", named(less), of(less[0]).open_files),
          fmt::format("Many archives or ranks may need more: raise the limit to {} (ulimit -n).",
                      kUsualOpenFiles),
          less);
    else
      add("open files", Verdict::kOk, text(facts_.ranks[0].open_files));

    const auto locked = below(&RankFacts::locked_bytes, kUsualLockedBytes);
    // Network cards and GPUs lock memory, shared memory does not.
    if (!locked.empty() && (on_gpus() || hosts().size() > 1))
      add("locked memory", Verdict::kSlow,
          fmt::format("{} may lock {}", named(locked), bytes_text(of(locked[0]).locked_bytes)),
          "InfiniBand and pinned copies want more: ulimit -l unlimited, or LimitMEMLOCK in the "
          "unit of the launcher's daemon.",
          locked);
    else
      add("locked memory", Verdict::kOk,
          facts_.ranks[0].locked_bytes < 0 ? text(facts_.ranks[0].locked_bytes)
                                           : bytes_text(facts_.ranks[0].locked_bytes));

    const auto addresses = which([](const RankFacts& one) { return one.address_bytes >= 0; });
    if (!addresses.empty())
      add("address space", Verdict::kSlow,
          fmt::format("{} may map {}", named(addresses),
                      bytes_text(of(addresses[0]).address_bytes)),
          "Weights, GPUs and libraries reserve more than they use: ulimit -v unlimited.",
          addresses);
    const auto cores = which([](const RankFacts& one) { return one.core_bytes != 0; });
    add("core files", Verdict::kOk,
        cores.empty()
            ? "none are written"
            : fmt::format("a crash may leave one as large as the rank: {}",
                          facts_.ranks.size() == cores.size() ? "on all ranks" : named(cores)));
  }

  void shared_memory() {
    std::vector<int> small;
    std::string worst;
    for (const auto& [host, some] : hosts()) {
      const std::int64_t wanted = kSharedBytesPerRank * some[0]->node_size;
      if (some.size() < 2 || some[0]->shm_free_bytes < 0 || some[0]->shm_free_bytes >= wanted)
        continue;
      for (const int rank : ranks_of(some)) small.push_back(rank);
      worst =
          fmt::format("{} has {} free of {}, wanted {}", host, bytes_text(some[0]->shm_free_bytes),
                      bytes_text(some[0]->shm_bytes), bytes_text(wanted));
    }
    if (!small.empty())
      return add("shared memory", Verdict::kBroken, worst,
                 "Ranks of a host talk through /dev/shm: give the container more (docker "
                 "--shm-size, --ipc=host), or remove what killed jobs left there.",
                 small);
    if (facts_.ranks[0].shm_bytes >= 0)
      add("shared memory", Verdict::kOk,
          fmt::format("{} free of {}", bytes_text(facts_.ranks[0].shm_free_bytes),
                      bytes_text(facts_.ranks[0].shm_bytes)));
  }

  void memory() {
    std::vector<int> short_of;
    std::string worst;
    for (const auto& [host, some] : hosts()) {
      // Ranks on CPUs hold their shares of the weights in the host's memory.
      std::int64_t weights = 0;
      for (const RankFacts* one : some)
        if (one->device == "cpu" && one->weights_bytes > 0)
          weights += one->weights_bytes / facts_.tensor;
      const std::int64_t wanted = std::max<std::int64_t>(weights, std::int64_t{1} << 30);
      if (some[0]->memory_free_bytes < 0 || some[0]->memory_free_bytes >= wanted) continue;
      for (const int rank : ranks_of(some)) short_of.push_back(rank);
      worst = fmt::format("{} has {} free, its ranks want {} for weights alone", host,
                          bytes_text(some[0]->memory_free_bytes), bytes_text(weights));
      if (weights < wanted)
        worst = fmt::format("{} has {} free", host, bytes_text(some[0]->memory_free_bytes));
    }
    if (!short_of.empty())
      return add("memory", Verdict::kBroken, worst,
                 "Start fewer ranks per host, share replicas (--tensor-parallel), or raise the "
                 "container's limit.",
                 short_of);
    std::int64_t least = facts_.ranks[0].memory_free_bytes;
    for (const RankFacts& one : facts_.ranks) least = std::min(least, one.memory_free_bytes);
    add("memory", Verdict::kOk, fmt::format("{} free per host, at least", bytes_text(least)));
  }

  void disk() {
    const auto room = [](const RankFacts& one) {
      std::int64_t least = one.disk_free_bytes;
      if (one.temporary_free_bytes >= 0) least = std::min(least, one.temporary_free_bytes);
      return least;
    };
    const auto below = [&](std::int64_t least) {
      return which([&](const RankFacts& one) { return room(one) >= 0 && room(one) < least; });
    };
    const std::string advice =
        "Make room in the current folder and in the one for temporary files, or work elsewhere.";
    if (const auto full = below(kLeastDiskBytes); !full.empty())
      return add("disk", Verdict::kBroken,
                 fmt::format("{}: {} free", named(full), bytes_text(room(of(full[0])))), advice,
                 full);
    if (const auto little = below(kUsualDiskBytes); !little.empty())
      return add("disk", Verdict::kSlow,
                 fmt::format("{}: {} free", named(little), bytes_text(room(of(little[0])))), advice,
                 little);
    add("disk", Verdict::kOk, fmt::format("{} free", bytes_text(room(facts_.ranks[0]))));
  }

  void reading() {
    const auto failed = which(
        [](const RankFacts& one) { return !one.read.error.empty() && one.model_error.empty(); });
    if (!failed.empty())
      return add("reading weights", Verdict::kBroken,
                 fmt::format("{}: {}", named(failed), of(failed[0]).read.error),
                 "Copy the model folder again, or look at the disk.", failed);
    const auto read = which([](const RankFacts& one) { return one.read.bytes > 0; });
    if (read.empty()) return;
    double together = 0;
    std::vector<double> rates;
    std::set<std::string> ways;
    for (const int rank : read) {
      rates.push_back(of(rank).read.bytes_per_s());
      together += rates.back();
      ways.insert(of(rank).read.how);
    }
    std::string how;
    for (const std::string& way : ways) how += (how.empty() ? "" : ", ") + way;
    const double usual = upper_median(rates);
    const double load_s = static_cast<double>(of(read[0]).weights_bytes) / together;
    const std::string found =
        fmt::format("{} per rank, {} together ({}): all weights in {}", rate_text(usual),
                    rate_text(together), how, time_text(load_s));
    const auto behind = which([&](const RankFacts& one) {
      return one.read.bytes > 0 && one.read.bytes_per_s() * kReadFactor < usual;
    });
    // A few pages of a small model say nothing about a disk.
    if (!behind.empty() && load_s > 1)
      return add("reading weights", Verdict::kSlow,
                 fmt::format("{}: {}; others {}", named(behind),
                             rate_text(of(behind[0]).read.bytes_per_s()), found),
                 "All ranks wait for the slowest: look at the mount and the disk of this host.",
                 behind);
    if (load_s > kSlowLoadSeconds)
      return add("reading weights", Verdict::kSlow, found,
                 "Put the model on a faster file system, or on local disks.");
    add("reading weights", Verdict::kOk, found);
  }

  void clocks() {
    std::vector<ClockFacts> others = facts_.clocks;
    std::erase_if(others, [](const ClockFacts& one) { return one.rank == 0; });
    if (others.empty()) return;
    const auto& worst = *std::ranges::max_element(
        others, {}, [](const ClockFacts& one) { return std::abs(one.ahead_s); });
    const double off = std::abs(worst.ahead_s);
    // What lies within the bound may be no difference at all.
    const double sure = off - worst.bound_s;
    if (sure <= kSlowClockSkew)
      return add("time of day", Verdict::kOk,
                 fmt::format("all within {} of rank 0's", time_text(off + worst.bound_s)));
    const std::string found =
        fmt::format("{} is {} {} rank 0, give or take {}", named({worst.rank}), time_text(off),
                    worst.ahead_s > 0 ? "ahead of" : "behind", time_text(worst.bound_s));
    std::vector<int> wrong;
    for (const ClockFacts& one : others)
      if (std::abs(one.ahead_s) - one.bound_s > kSlowClockSkew) wrong.push_back(one.rank);
    add("time of day", sure > kBrokenClockSkew ? Verdict::kBroken : Verdict::kSlow, found,
        "Set the clocks (chrony, ntpd): logs of several hosts do not fit together, and the first "
        "of "
        "several failures is named by time.",
        wrong);
  }

  void sweeps() {
    for (const SweepFacts& sweep : facts_.sweeps) {
      const bool tensor = sweep.group.starts_with("tensor");
      const int alike = groups_of(sweep.collective);
      const std::string what = fmt::format("{} of {}", sweep.collective, sweep.group);
      std::int64_t wrong = 0, wrong_bytes = 0;
      for (const SweepFacts::Point& point : sweep.points)
        if (wrong += point.wrong; point.wrong > 0 && wrong_bytes == 0) wrong_bytes = point.bytes;
      if (wrong > 0) {
        add(what, Verdict::kBroken,
            fmt::format("{} elements were wrong, first in a message of {}", wrong,
                        bytes_text(wrong_bytes)),
            "Data is damaged on its way: captions would be wrong. Look at memory, cards and "
            "cables; "
            "try half of the hosts at a time.",
            sweep.ranks);
        continue;
      }
      // Of many replicas the slowest speaks for all.
      if (tensor && &sweep != slowest_group(sweep.collective)) continue;
      const bool gpu = sweep.device != "cpu";
      const double slow_alpha = tensor ? kSlowTensorAlpha : kSlowWorldAlpha;
      const double slow_bus = !sweep.one_host ? kSlowNetworkBus : gpu ? kSlowGpuBus : kSlowHostBus;
      const std::string found =
          fmt::format("{}{}, within {:.0f} %; {} in {}, bus {}{}{}", time_text(sweep.fit.alpha_s),
                      // At the fit's bound, of short messages alone, the rate is nobody's.
                      sweep.fit.bytes_per_s < kMostBytesPerSecond
                          ? " + bytes at " + rate_text(sweep.fit.bytes_per_s)
                          : " whatever their length",
                      100 * sweep.fit.rms_error, bytes_text(sweep.points.back().bytes),
                      time_text(sweep.points.back().seconds), rate_text(sweep.bus_bytes_per_s),
                      sweep.cut_short ? "; longer ones were left out" : "",
                      tensor && alike > 1 ? fmt::format("; slowest of {} groups", alike) : "");
      if (crowded(sweep.ranks)) {
        // Times are then those of the scheduler; the cores have their own finding.
        add(what, Verdict::kOk, found + "; not judged: ranks share cores");
      } else if (sweep.fit.alpha_s > slow_alpha) {
        add(what, Verdict::kSlow, found,
            tensor ? "Every layer waits for two of these: keep a replica on one host, or make "
                     "--tensor-parallel smaller."
                   : "Messages take the long way: choose the network (--mca btl_tcp_if_include, "
                     "UCX_NET_DEVICES), or look for a busy host.",
            sweep.ranks);
      } else if (sweep.bus_bytes_per_s < slow_bus) {
        add(what, Verdict::kSlow, found,
            gpu ? "GPUs do not reach each other directly: look at nvidia-smi topo -m and "
                  "NCCL_DEBUG."
            : sweep.one_host ? "Shared memory should give more: is the host busy, or its clock "
                               "low?"
                             : "The network gives no more than Gigabit Ethernet: choose another "
                               "(--mca btl_tcp_if_include, UCX_NET_DEVICES).",
            sweep.ranks);
      } else {
        add(what, Verdict::kOk, found);
      }
    }
    if (!facts_.links_error.empty())
      add("links", Verdict::kBroken, facts_.links_error,
          "Look at the rank that is named: its host, its network, its log.");
  }

  [[nodiscard]] int groups_of(const std::string& collective) const {
    return static_cast<int>(std::ranges::count_if(facts_.sweeps, [&](const SweepFacts& sweep) {
      return sweep.group.starts_with("tensor") && sweep.collective == collective;
    }));
  }
  /// By what a message of a megabyte takes.
  [[nodiscard]] const SweepFacts* slowest_group(const std::string& collective) const {
    const SweepFacts* slowest = nullptr;
    for (const SweepFacts& sweep : facts_.sweeps)
      if (sweep.group.starts_with("tensor") && sweep.collective == collective &&
          (slowest == nullptr || sweep.fit.seconds(1e6) > slowest->fit.seconds(1e6)))
        slowest = &sweep;
    return slowest;
  }

  /// More of these ranks on a set of cores than there are cores.
  [[nodiscard]] bool crowded(const std::vector<int>& ranks) const {
    std::map<std::pair<std::string, std::string>, int> sharing;
    for (const RankFacts& one : facts_.ranks) ++sharing[{one.host, one.cpus}];
    return std::ranges::any_of(ranks, [&](int rank) {
      const auto found = std::ranges::find(facts_.ranks, rank, &RankFacts::rank);
      return found != facts_.ranks.end() && sharing[{found->host, found->cpus}] > found->cores;
    });
  }

  void pairs() {
    for (const bool one_host : {true, false}) {
      std::vector<PairFacts> kind;
      std::ranges::copy_if(facts_.pairs, std::back_inserter(kind),
                           [&](const PairFacts& pair) { return pair.one_host == one_host; });
      if (kind.empty()) continue;
      std::vector<double> latencies, bandwidths;
      for (const PairFacts& pair : kind) {
        latencies.push_back(pair.latency_s);
        bandwidths.push_back(pair.bytes_per_s);
      }
      const double latency = upper_median(latencies), bandwidth = upper_median(bandwidths);
      // How many times as bad as usual, by whichever is worse.
      const auto badness = [&](const PairFacts& pair) {
        return std::max(pair.latency_s / latency, bandwidth / pair.bytes_per_s);
      };
      const PairFacts& worst = *std::ranges::max_element(kind, {}, badness);
      const std::string what = one_host ? "pairs within hosts" : "pairs between hosts";
      const std::string found =
          fmt::format("slowest {}: {} and {}; median of {}: {} and {}", named({worst.a, worst.b}),
                      time_text(worst.latency_s), rate_text(worst.bytes_per_s), kind.size(),
                      time_text(latency), rate_text(bandwidth));
      std::vector<int> all;
      for (const PairFacts& pair : kind) all.insert(all.end(), {pair.a, pair.b});
      const bool late =
          worst.latency_s > kPairFactor * latency && worst.latency_s > kPairLeastLatency;
      const bool narrow = worst.bytes_per_s * kPairFactor < bandwidth;
      if (crowded(all))
        add(what, Verdict::kOk, found + "; not judged: ranks share cores");
      else if (late || narrow)
        add(what, Verdict::kSlow, found,
            "The link or one of the two hosts is worse than the others: look at cable, port, "
            "switch and load, or leave the host out.",
            {worst.a, worst.b});
      else
        add(what, Verdict::kOk, found);
    }
  }

  const DoctorFacts& facts_;
  std::vector<Finding> findings_;
};

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kSlow:
      return "slow";
    case Verdict::kBroken:
      return "broken";
  }
  throw BugError("a verdict without a name");
}

std::vector<Finding> judge(const DoctorFacts& facts) { return Judge(facts).all(); }

std::vector<std::string> not_looked_at(const DoctorFacts& facts) {
  std::vector<std::string> left_out;
  if (facts.ranks.empty()) return left_out;
  const RankFacts& first = facts.ranks[0];
  if (first.model.empty()) left_out.emplace_back("model and file system: no --model");
  for (const RankFacts& one : facts.ranks)
    if (one.device != "cpu" && !one.nvml_absent.empty()) {
      left_out.push_back(
          fmt::format("clocks and memory errors of GPUs: rank {}: {}", one.rank, one.nvml_absent));
      break;
    }
  if (facts.size == 1) left_out.emplace_back("links: one rank has none");
  if (!facts.silent.empty()) left_out.emplace_back("time of day and links: not all ranks answered");
  return left_out;
}

Verdict overall(const std::vector<Finding>& findings) {
  Verdict worst = Verdict::kOk;
  for (const Finding& finding : findings) worst = std::max(worst, finding.verdict);
  return worst;
}

}  // namespace retinue::runtime
