// A job with a monitor: what it shows is true, and no client can hurt it.
#include "tests/support/http_client.h"
#include "tests/support/processes.h"
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

namespace retinue {
namespace {

using Json = nlohmann::json;
using test::http_body;
using test::http_exchange;
using test::http_get;
using test::http_status;
using test::HttpClient;
using testing::HasSubstr;
using namespace std::string_literals;

const std::string kExamples = RETINUE_SOURCE_DIR "/configs/examples/";

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

/// Kilobytes that a process holds.
std::int64_t resident_kib(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  return 0;
}

class Watched : public testing::Test {
 protected:
  /// Example scenes again and again; every 25th is missing, every 40th has a name that is markup.
  std::string manifest(int items) {
    std::vector<std::string> images;
    std::ifstream examples(kExamples + "manifest.jsonl");
    for (std::string line; std::getline(examples, line);) {
      const Json item = Json::parse(line);
      if (item.contains("image")) images.push_back(kExamples + item["image"].get<std::string>());
    }
    std::string lines;
    for (int i = 0; i < items; ++i) {
      Json item;
      item["id"] = (i % 40 == 39 ? "<img src=x onerror=alert(1)> " : "item ") + std::to_string(i);
      item["image"] =
          i % 25 == 24 ? "missing.png" : images[static_cast<std::size_t>(i) % images.size()];
      lines += item.dump() + "\n";
    }
    return folder_.write("list.jsonl", lines);
  }
  std::string command(const std::string& input, const std::string& output,
                      const std::string& flags) {
    return RETINUE_EXECUTABLE
           " caption --model " RETINUE_SOURCE_DIR
           "/configs/models/emoji-captioner --device cpu --threads 1 --max-new-tokens 64 --input " +
           input + " --output " + folder_.path(output) + " " + flags;
  }
  /// A job with a monitor; returns when it makes steps.
  void start(int items, const std::string& flags) {
    job_ = std::make_unique<test::Launch>(command(manifest(items), "job", "--monitor 0 " + flags) +
                                          " 2>" + folder_.path("log"));
    const std::string before = "[monitor] http://127.0.0.1:";
    for (int i = 0; i < 3000 && port_ == 0 && !job_->gone(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const std::string log = content_of(folder_.path("log"));
      const std::size_t at = log.find(before);
      if (at != log.npos && log.find('\n', at) != log.npos)
        port_ = static_cast<std::uint16_t>(std::stoi(log.substr(at + before.size())));
    }
    ASSERT_NE(port_, 0) << content_of(folder_.path("log"));
    ASSERT_TRUE(eventually([](const Json& now) {
      return now["phase"] == "running" && now["items"]["done"].get<int>() > 0;
    }));
  }
  /// Asks until the status is as wanted; it stays in status_.
  template <class Wanted>
  bool eventually(Wanted wanted) {
    for (int i = 0; i < 600; ++i) {
      const std::string answer = http_get(port_, "/status");
      if (http_status(answer) == 200) {
        status_ = Json::parse(http_body(answer));
        if (wanted(status_)) return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  /// 0: none is.
  pid_t process_of_rank(int rank) {
    const std::string entry = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + "\0"s;
    for (const pid_t process : job_->all())
      if (content_of("/proc/" + std::to_string(process) + "/environ").find(entry) !=
              std::string::npos &&
          test::command_of(process).find("mpirun ") == std::string::npos)
        return process;
    return 0;
  }
  Json file(const std::string& name) {
    return Json::parse(content_of(folder_.path("job/" + name)));
  }

  test::TemporaryFolder folder_;
  std::unique_ptr<test::Launch> job_;
  std::uint16_t port_ = 0;
  Json status_;
};

TEST_F(Watched, AStoppedReplicaHoldsUpNoOther) {
  start(8000, "--ranks 2 --tensor-parallel 1");
  const pid_t stopped = process_of_rank(1);
  ASSERT_GT(stopped, 0) << "no process is rank 1";
  ::kill(stopped, SIGSTOP);
  const auto done = [](const Json& now, int rank) { return now["ranks"][rank]["done"].get<int>(); };
  ASSERT_TRUE(eventually([](const Json& now) { return now["ranks"][1]["quiet_s"] > 1.5; }));
  // A fast machine has served by now all that rank 1 does not hold.
  constexpr int kServed = 300, kMostHeld = 400;
  const int before = done(status_, 0);
  EXPECT_TRUE(eventually([&](const Json& now) {
    return done(now, 0) > before + kServed || now["items"]["left"] < kMostHeld;
  })) << "rank 0 waits for the stopped rank 1: "
      << status_["items"].dump();
  ::kill(stopped, SIGCONT);
  ASSERT_TRUE(job_->wait(300));
  EXPECT_EQ(job_->code(), 3) << "of the missing images alone";
}

TEST_F(Watched, ShowsWhatTheJobDoes) {
  start(4000, "--ranks 4 --tensor-parallel 2");
  EXPECT_EQ(http_status(http_get(port_, "/")), 200);
  EXPECT_EQ(http_body(http_get(port_, "/healthz")), "running\n");
  ASSERT_TRUE(eventually([](const Json& now) {
    const Json& ranks = now["ranks"];
    return std::ranges::all_of(ranks, [](const Json& rank) { return rank["steps"] > 0; }) &&
           std::ranges::any_of(now["recent"],
                               [](const Json& item) { return item["thumbnail"] == true; }) &&
           now["failures"].size() > 1;
  }));
  EXPECT_EQ(status_["mesh"], (Json{{"ranks", 4}, {"data", 2}, {"tensor", 2}}));
  EXPECT_EQ(status_["items"]["all"], 4000);
  EXPECT_EQ(status_["failures"][0]["stage"], "read");
  for (const Json& item : status_["recent"]) {
    if (item["thumbnail"] != true) continue;
    const std::string image = http_get(port_, "/thumb/" + item["serial"].dump());
    if (http_status(image) == 404) continue;  // others have come meanwhile
    EXPECT_EQ(http_body(image).substr(0, 3), "\xFF\xD8\xFF");
  }
  ASSERT_TRUE(job_->wait(120));
  EXPECT_EQ(job_->code(), 3);
  // The end, as the folder keeps it, and as the report has it.
  const Json last = file("status.json"), report = file("report.json");
  EXPECT_EQ(last["phase"], "ended");
  EXPECT_EQ(last["exit_code"], 3);
  EXPECT_EQ(last["items"]["done"], report["items"]["done"]);
  EXPECT_EQ(last["items"]["failed"], 160);
  EXPECT_EQ(last["items"]["left"], 0);
  EXPECT_EQ(last["this_run"]["completion_tokens"], report["this_run"]["completion_tokens"]);
  EXPECT_EQ(last["ranks"][0]["done"].get<int>() + last["ranks"][2]["done"].get<int>(), 3840);
}

TEST_F(Watched, AWatchingPageReceivesTheEnd) {
  start(1500, "");
  EXPECT_TRUE(eventually([](const Json& now) { return now["phase"] == "ended"; }));
  EXPECT_EQ(status_["outcome"], "finished, some failed (failures.jsonl)");
  EXPECT_TRUE(job_->wait(20));
}

TEST_F(Watched, CaptionsEqualThoseOfAnUnwatchedJob) {
  const std::string input = manifest(300);
  ASSERT_EQ(test::shell(command(input, "alone", "--quiet")).exit_code, 3);
  ASSERT_EQ(test::shell(command(input, "watched", "--quiet --monitor 0")).exit_code, 3);
  EXPECT_EQ(content_of(folder_.path("watched/captions.jsonl")),
            content_of(folder_.path("alone/captions.jsonl")));
  EXPECT_EQ(Json::parse(content_of(folder_.path("alone/status.json")))["monitor"], "");
}

TEST_F(Watched, AnAddressThatCannotBeServedEndsTheJobBeforeItBegins) {
  start(1500, "");
  const std::string input = folder_.path("list.jsonl");
  for (const auto& [address, why] :
       {std::pair{"127.0.0.1:" + std::to_string(port_), "is in use by another program"},
        {"192.0.2.1:0", "the host is not this machine"}}) {
    const auto outcome = test::shell(
        "(" + command(input, "other", "--monitor " + address + " --ranks 2") + ") 2>&1");
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.text, HasSubstr("retinue: [--monitor] "));
    EXPECT_THAT(outcome.text, HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(folder_.path("other")));
  }
}

TEST_F(Watched, ABadAddressIsSaidBeforeRanksStart) {
  const auto outcome =
      test::shell("(" + command("none", "other", "--monitor node0 --ranks 2") + ") 2>&1");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.text, HasSubstr("[--monitor] 'node0': no port"));
}

// scripts/monitor_attack.sh does more of it, and measures what it costs the job.
TEST_F(Watched, AnAttackChangesNothing) {
  start(2000, "--ranks 2 --tensor-parallel 1");
  const pid_t attacked = process_of_rank(0), stopped = process_of_rank(1);
  ASSERT_GT(attacked, 0) << "no process is rank 0";
  ASSERT_GT(stopped, 0) << "no process is rank 1";
  ::kill(stopped, SIGSTOP);  // so that the job outlasts the attack
  const auto attack = [&](int rounds) {
    std::vector<std::unique_ptr<HttpClient>> slow;
    for (int i = 0; i < rounds; ++i) {
      try {
        HttpClient(port_).send("GET /sta");
        HttpClient(port_).send("\x16\x03\x01\x02 no http at all");
        HttpClient(port_).send("GET / HTTP/1.1\r\nX: " + std::string(30000, 'x'));
        HttpClient leaves(port_);
        leaves.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if (i % 4 == 0) {
          slow.push_back(std::make_unique<HttpClient>(port_));
          slow.back()->send("GET / HTTP/1.1\r\n");
        }
        for (const auto& client : slow) client->send("X: y\r\n");
      } catch (const std::exception&) {
        // No place is left.
      }
    }
  };
  attack(50);  // what a little of everything takes is there already
  const std::int64_t before = resident_kib(attacked);
  attack(250);
  EXPECT_LT(resident_kib(attacked) - before, 32 << 10);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_NE(http_status(http_get(port_, "/healthz")), 0);
  ::kill(stopped, SIGCONT);
  ASSERT_TRUE(job_->wait(120));
  EXPECT_EQ(job_->code(), 3);
  EXPECT_EQ(file("report.json")["items"], (Json{{"all", 2000}, {"done", 1920}, {"failed", 80}}));
}

#ifdef RETINUE_PROMTOOL
TEST_F(Watched, PrometheusFindsNoFaultWithTheMetrics) {
  start(3000, "--ranks 2 --tensor-parallel 1");
  folder_.write("metrics", http_body(http_get(port_, "/metrics")));
  const auto outcome =
      test::shell(RETINUE_PROMTOOL " check metrics <" + folder_.path("metrics") + " 2>&1");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.text, "");
}
#endif

}  // namespace
}  // namespace retinue
