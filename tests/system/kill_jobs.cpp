// Kills jobs, cuts their journals and fills their disks at random moments, runs the same command
// again, and compares what comes of it with the bytes of a run that was left alone.
//
//   kill_jobs [--kills N] [--seed S] [--cut-every N] [--folder DIR]
//
// Prints counts; exit code 1 when any result differs or a process stays. `scripts/kill_test.sh`
// calls it; a short one is a test.
#include "parallel/base/rng.h"
#include "tests/support/processes.h"
#include "tests/support/temporary_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace retinue {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kExamples = 22;  // single images of configs/examples
constexpr int kCopies = 12;
constexpr int kTries = 6;
/// After a kill nothing lives longer, not even an mpirun that hangs: far below the 300 s that ranks
/// wait for each other, far above the few seconds of a busy machine.
constexpr double kGone_s = 60;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct Layout {
  int data, tensor;
  [[nodiscard]] std::string name() const { return fmt::format("{}x{}", data, tensor); }
};
constexpr std::array kLayouts = {Layout{4, 1}, Layout{2, 2}, Layout{1, 4}};

enum class Victim { kRank, kMpirun, kGroup };
constexpr std::array kVictims = {"a rank", "mpirun", "the process group"};

class Harness {
 public:
  Harness(std::uint64_t seed, const std::string& folder) : seed_(seed), folder_(folder) {
    std::string list;
    const std::string images = std::string(RETINUE_SOURCE_DIR) + "/configs/examples/";
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(images))
      if (entry.path().stem().string().starts_with("scene-"))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    names.resize(std::min<std::size_t>(names.size(), kExamples));
    // Other prompts for the same images: no answer comes from an earlier one.
    for (int copy = 0; copy < kCopies; ++copy)
      for (const std::string& name : names)
        list += fmt::format(
            "{{\"id\":\"{}-{}\",\"image\":\"{}{}\",\"prompt\":\"{} Describe this image.\"}}\n",
            name, copy, images, name, copy);
    write_text(path("list.jsonl"), list);
  }

  /// The undisturbed run, and how long each layout takes.
  void measure() {
    if (run("whole", {1, 1}) != 0) fatal("the undisturbed run failed");
    whole_ = captions("whole");
    if (std::count(whole_.begin(), whole_.end(), '\n') != kExamples * kCopies)
      fatal("the undisturbed run has not all captions");
    for (const Layout layout : kLayouts) {
      const std::string job = "whole-" + layout.name();
      const auto start = Clock::now();
      if (run(job, layout) != 0) fatal("the undisturbed run of " + layout.name() + " failed");
      seconds_[layout.name()] = since(start);
      compare(job);
    }
    say("undisturbed",
        fmt::format("{} items; 4x1 {:.1f} s, 2x2 {:.1f} s, 1x4 {:.1f} s", kExamples * kCopies,
                    seconds_["4x1"], seconds_["2x2"], seconds_["1x4"]));
  }

  void kill(int kills) {
    std::map<std::string, int> by_victim, by_layout;
    int late = 0, jobs = 0, runs = 0;
    double longest = 0;
    for (int done = 0; done < kills; ++jobs) {
      const std::string job = fmt::format("kill-{}", jobs);
      const int times = 1 + static_cast<int>(draw(3));
      for (int i = 0; i < times && done < kills && !finished(job); ++i, ++done, ++runs) {
        const Layout layout = kLayouts[static_cast<std::size_t>(done) % kLayouts.size()];
        const auto victim = static_cast<std::size_t>(done / 3) % kVictims.size();
        const bool hit = disturb(job, layout, static_cast<Victim>(victim), longest);
        ++by_victim[kVictims[victim]], ++by_layout[layout.name()];
        late += hit ? 0 : 1;
      }
      runs += complete(job, kLayouts[static_cast<std::size_t>(jobs) % kLayouts.size()]);
      compare(job);
      fs::remove_all(path(job));
    }
    say("kills",
        fmt::format("{}: {} of a rank, {} of mpirun, {} of the process group; {} came after "
                    "the end",
                    kills, by_victim["a rank"], by_victim["mpirun"], by_victim["the process group"],
                    late));
    say("layouts", fmt::format("{} of 4x1, {} of 2x2, {} of 1x4", by_layout["4x1"],
                               by_layout["2x2"], by_layout["1x4"]));
    say("jobs", fmt::format("{}, in {} runs", jobs, runs));
    say("all gone", fmt::format("at most {:.1f} s after a kill", longest));
  }

  /// Cuts the last records of a journal at every `step`-th byte.
  void cut(std::int64_t step) {
    const std::string segment = "/journal/r00000.e0.seg";
    const std::string whole = read_text(path("whole") + segment);
    // The last two lines, each with the end of the one before.
    std::size_t begin = whole.size() - 1;
    for (int lines = 0; lines < 2; ++lines) begin = whole.rfind('\n', begin - 1);
    int cuts = 0;
    for (std::size_t size = begin; size < whole.size(); size += static_cast<std::size_t>(step)) {
      fs::copy(path("whole"), path("cut"), fs::copy_options::recursive);
      fs::remove(path("cut/captions.jsonl"));
      write_text(path("cut") + segment, whole.substr(0, size));
      complete("cut", {1, 1});
      compare("cut");
      fs::remove_all(path("cut"));
      ++cuts;
    }
    say("cuts", fmt::format("{}, of the journal's last {} bytes", cuts, whole.size() - begin));
  }

  /// Runs into a disk that is full at the n-th write, for random n, then on with an empty one.
  void fill(int times) {
    int full = 0;
    for (int i = 0; i < times; ++i) {
      const std::string job = fmt::format("full-{}", i);
      const Layout layout = kLayouts[static_cast<std::size_t>(i) % kLayouts.size()];
      const std::string faults =
          fmt::format("env LD_PRELOAD={} FAULTS_FOLDER={} FAULTS_FULL_AFTER={} ", RETINUE_FAULTS,
                      path(job), draw(i % 2 == 0 ? 12 : 150));
      const int code = run(job, layout, faults);
      // 0: it was through before.
      if (code != 75 && code != 0) wrong(fmt::format("{} ended with {} on a full disk", job, code));
      full += code == 75 ? 1 : 0;
      complete(job, layout);
      compare(job);
      fs::remove_all(path(job));
    }
    say("full disks",
        fmt::format("{}; {} ended with 75, {} had ended before", times, full, times - full));
  }

  [[nodiscard]] int verdict() const {
    say("compared", fmt::format("{}, {} different", compared_, different_));
    say("wrong", fmt::format("{}", wrong_));
    return different_ + wrong_ > 0 ? 1 : 0;
  }

 private:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  [[nodiscard]] std::string captions(const std::string& job) const {
    return read_text(path(job) + "/captions.jsonl");
  }
  [[nodiscard]] bool finished(const std::string& job) const {
    return fs::exists(path(job) + "/captions.jsonl");
  }
  std::uint64_t draw(std::uint64_t below) { return random_bits(seed_, drawn_++) % below; }

  static void say(const char* what, const std::string& text) {
    fmt::print("{:<12} {}\n", what, text);
    std::fflush(stdout);
  }
  void wrong(const std::string& what) {
    ++wrong_;
    say("WRONG", what);
  }
  [[noreturn]] static void fatal(const std::string& what) {
    say("FATAL", what);
    std::exit(1);
  }

  [[nodiscard]] std::string command(const std::string& job, Layout layout) const {
    return fmt::format(
        "{} caption --model {}/configs/models/emoji-captioner --threads 1 --quiet --max-sequences "
        "4 "
        "--input {} --output {} --ranks {} --tensor-parallel {} >/dev/null 2>{}.stderr",
        RETINUE_EXECUTABLE, RETINUE_SOURCE_DIR, path("list.jsonl"), path(job),
        layout.data * layout.tensor, layout.tensor, path(job));
  }

  /// One run to its end. A process that stays is wrong.
  int run(const std::string& job, Layout layout, const std::string& before = "") {
    test::Launch launch(before + command(job, layout));
    if (!launch.wait(120)) wrong(job + ": still runs after 120 s");
    return launch.code();
  }

  /// Runs until all is done. Returns how many runs it took.
  int complete(const std::string& job, Layout layout) {
    for (int tries = 1; tries <= kTries; ++tries) {
      const int code = run(job, layout);
      if (code == 0) return tries;
      if (code != 75) {
        wrong(fmt::format("{}: run again it ended with {}: {}", job, code,
                          read_text(path(job) + ".stderr")));
        return tries;
      }
    }
    wrong(fmt::format("{}: not done after {} runs", job, kTries));
    return kTries;
  }

  void compare(const std::string& job) {
    ++compared_;
    if (captions(job) == whole_) return;
    ++different_;
    say("DIFFERENT", job);
  }

  /// One run that is hit once. False: it had ended before.
  bool disturb(const std::string& job, Layout layout, Victim victim, double& longest) {
    test::Launch launch(command(job, layout));
    const double delay_s = seconds_[layout.name()] * static_cast<double>(draw(1000)) / 1000.0;
    std::this_thread::sleep_for(std::chrono::duration<double>(delay_s));
    std::vector<pid_t> ranks, mpiruns;
    for (const pid_t process : launch.all()) {
      const std::string words = test::command_of(process);
      if (words.find("mpirun ") < words.find(' '))
        mpiruns.push_back(process);
      else if (process != launch.pid())
        ranks.push_back(process);
    }
    if (launch.code() >= 0) return false;
    switch (victim) {
      case Victim::kRank:  // before there are any, whatever there is
        if (!ranks.empty()) {
          ::kill(ranks[draw(ranks.size())], SIGKILL);
          break;
        }
        [[fallthrough]];
      case Victim::kMpirun:
        if (!mpiruns.empty()) {
          ::kill(mpiruns[0], SIGKILL);
          break;
        }
        [[fallthrough]];
      case Victim::kGroup:
        victim = Victim::kGroup;
        ::kill(-launch.pid(), SIGKILL);
    }
    const auto start = Clock::now();
    if (!launch.wait(kGone_s)) {
      std::string who;
      for (const pid_t process : launch.all()) who += " [" + test::command_of(process) + "]";
      wrong(fmt::format("{}: {} s after a kill there is still{}", job, kGone_s, who));
    }
    longest = std::max(longest, since(start));
    const int code = launch.code();
    // The launcher itself dies with its group.
    if (code != 75 && code != 0 && !(victim == Victim::kGroup && code == 137))
      wrong(fmt::format("{}: killed ({}) it ended with {}: {}", job,
                        kVictims[static_cast<std::size_t>(victim)], code,
                        read_text(path(job) + ".stderr")));
    return true;
  }

  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
  std::string folder_;
  std::string whole_;
  std::map<std::string, double> seconds_;
  int compared_ = 0, different_ = 0, wrong_ = 0;
};

int run(const std::vector<std::string>& words) {
  int kills = 200;
  std::uint64_t seed = 1;
  std::int64_t cut_every = 1;
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    if (words[i] == "--kills")
      kills = std::atoi(words[i + 1].c_str());
    else if (words[i] == "--seed")
      seed = std::strtoull(words[i + 1].c_str(), nullptr, 10);
    else if (words[i] == "--cut-every")
      cut_every = std::atol(words[i + 1].c_str());
    else
      kills = 0;
  }
  if (words.size() % 2 != 0 || kills < 1 || cut_every < 1) {
    fmt::print(stderr, "kill_jobs [--kills N] [--seed S] [--cut-every BYTES]\n");
    return 2;
  }
  const test::TemporaryFolder folder;
  Harness harness(seed, folder.path());
  harness.measure();
  harness.kill(kills);
  harness.cut(cut_every);
  harness.fill(std::max(3, kills / 4));
  return harness.verdict();
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) { return retinue::run({argv + 1, argv + argc}); }
