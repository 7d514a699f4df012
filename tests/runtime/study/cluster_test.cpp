#include "runtime/study/cluster.h"

#include "parallel/base/check.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <utility>

namespace retinue::study {
namespace {

using testing::HasSubstr;

/// Qwen3-VL-32B by arithmetic: 62.4 GFLOP a row, 128 sums of 10 KiB a row between the ranks, images
/// of 1024 x 1024 and answers of 128 tokens.
struct Gpu {
  double memory_gb_per_s, tflops, weights_gb, kv_bytes;
};
std::string replica(const Gpu& gpu, int tensor, int sequences, bool hidden) {
  static const std::map<int, std::pair<double, double>> kSums = {
      {1, {0, 1}}, {2, {10, 380}}, {4, {12, 320}}, {8, {13, 276}}};
  const auto [alpha, bandwidth] = kSums.at(tensor);
  return fmt::format(
      R"({{"tensor": {0}, "max_sequences": {1}, "max_batch_tokens": {2}, "encode_patches": 8192,
          "step": {{"weights_gb": {3}, "memory_gb_per_s": {4}, "gflop_per_row": 62.4,
                    "gflop_per_logit_row": 1.56, "gflop_per_key": 0.00105, "tflops": {5},
                    "vision_tflops": 600, "gflop_per_patch": 1.42, "kv_bytes_per_token": {6},
                    "collectives": {7}, "bytes_per_row": 10240, "alpha_us": {8}, "gb_per_s": {9}}}}})",
      tensor, sequences, sequences * 1216 / 127 + 64, gpu.weights_gb, gpu.memory_gb_per_s,
      gpu.tflops, gpu.kv_bytes, hidden || tensor == 1 ? 0 : 128, alpha, bandwidth);
}
std::string file(const std::string& replicas, const std::string& more) {
  return R"({"schema_version": 1, "name": "32B", "shapes": [{"prompt_tokens": 1088,
             "visual_tokens": 1024, "patches": 4096, "new_tokens": 128}], "replicas": [)" +
         replicas + "]" + more + "}";
}

/// Images per second and GPU in the steady state, on eight GPUs.
double steady(const Gpu& gpu, int tensor, int sequences, bool hidden = false) {
  ClusterJob job = parse_cluster_job(
      file(replica(gpu, tensor, sequences, hidden), R"(, "items": 30000, "gpus": [8])"), "test");
  return simulate_cluster(job).at(0).steady_per_gpu;
}

const Gpu kH100{2900, 790, 64, 262144}, kH100Fp8{2900, 1400, 32, 131072};
const Gpu kH200{4200, 790, 64, 262144};

TEST(Cluster, TensorSizesRankAsTheCeilingsOnPaper) {
  // H100, bf16: 8.44, 7.81, 6.98 and 5.95 images per second and GPU; with sums hidden 8.44.
  const double tp1 = steady(kH100, 1, 43), tp2 = steady(kH100, 2, 292);
  const double tp4 = steady(kH100, 4, 789), tp8 = steady(kH100, 8, 1784);
  const double hidden = steady(kH100, 8, 1784, true);
  RecordProperty("steady",
                 fmt::format("{:.2f} {:.2f} {:.2f} {:.2f} {:.2f}", tp1, tp2, tp4, tp8, hidden));
  EXPECT_GT(tp1, tp2);
  EXPECT_GT(tp2, tp4);
  EXPECT_GT(tp4, tp8);
  EXPECT_GT(hidden, tp8);
  EXPECT_NEAR(tp1, 8.44, 0.15 * 8.44);
  EXPECT_NEAR(tp8, 5.95, 0.15 * 5.95);
}

TEST(Cluster, FasterMemoryAndSmallerNumbersRankAsOnPaper) {
  const double bf16 = steady(kH100, 1, 43), wide = steady(kH200, 1, 242);
  const double fp8 = steady(kH100Fp8, 1, 282);
  EXPECT_GT(wide, bf16);       // 8.72 over 8.44
  EXPECT_GT(fp8, 1.4 * bf16);  // 14.2
}

TEST(Cluster, AThousandGpusCostNoMoreEventsThanEight) {
  ClusterJob job = parse_cluster_job(
      file(replica(kH100, 1, 43, false) + "," + replica(kH100, 8, 1784, false),
           R"(, "items": 1000000, "gpus": [8, 64, 1024], "slowness_sigma": 0.02, "node_mtbf_h": 500,
              "start": {"launch_s": 10, "weights_gb": 66.7, "storage_gb_per_s": 5},
              "price_per_hour": 2.5)"),
      "test");
  const auto results = simulate_cluster(job);
  ASSERT_EQ(results.size(), 6U);
  for (const ClusterResult& r : results) {
    EXPECT_GT(r.start_s, 10 + 66.7 / 5 - 1e-6);
    EXPECT_TRUE(r.cost_per_1000.has_value());
    // A sequence takes 128 steps, which it shares with 42 others.
    EXPECT_LT(static_cast<double>(r.events), 1.3 * 128 / 43 * static_cast<double>(job.items));
  }
  EXPECT_LT(static_cast<double>(results[4].events), 1.1 * static_cast<double>(results[0].events));
  // Replicas of one GPU lose little where there are 128 times as many, with 1,000 items each.
  EXPECT_GT(results[4].steady_per_gpu, 0.95 * results[0].steady_per_gpu);
}

TEST(Cluster, FailuresCostTimeAndLoseNoRecord) {
  const std::string one = replica(kH100, 1, 43, false);
  const auto with = [&](const std::string& more) {
    return simulate_cluster(
        parse_cluster_job(file(one, R"(, "items": 20000, "gpus": [8])" + more), "test"))[0];
  };
  const ClusterResult calm = with(""), stormy = with(R"(, "node_mtbf_h": 0.02)");
  EXPECT_EQ(calm.failures, 0);
  EXPECT_GT(stormy.failures, 0);
  EXPECT_GT(stormy.makespan_s, calm.makespan_s);
}

TEST(Cluster, AReplicaThatSpansNodesPaysForTheFabric) {
  const auto in_nodes_of = [&](int gpus) {
    return simulate_cluster(parse_cluster_job(
        file(replica(kH100, 8, 500, false),
             fmt::format(R"(, "items": 5000, "gpus": [8], "gpus_per_node": {})", gpus)),
        "test"))[0];
  };
  EXPECT_GT(in_nodes_of(4).communication, in_nodes_of(8).communication);
  EXPECT_LT(in_nodes_of(4).steady_per_gpu, in_nodes_of(8).steady_per_gpu);
}

TEST(Cluster, TheFileInConfigsIsReadAndAnswered) {
  std::ifstream in(std::string(RETINUE_SOURCE_DIR) + "/configs/clusters/qwen3-vl-32b.json");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  ClusterJob job = parse_cluster_job(text, "qwen3-vl-32b.json");
  job.items = 5000, job.gpus = {8};
  const auto results = simulate_cluster(job);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_THAT(cluster_table(job, results), HasSubstr("simulated: Qwen3-VL-32B"));
}

TEST(Cluster, BadFilesAreRefusedByKey) {
  const std::string good = replica(kH100, 1, 43, false);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "no JSON"},
      {"[]", "an object"},
      {R"({"schema_version": 2})", "schema_version"},
      {file(good, ""), "'items' is missing"},
      {file(good, R"(, "items": 0)"), "'items'"},
      {file(good, R"(, "items": 10, "gpu": [8])"), "unknown key 'gpu'"},
      {file(good, R"(, "items": 10, "gpus": [0])"), "'gpus'"},
      {file(good, R"(, "items": 10, "fabric": {"alpha_us": -1, "gb_per_s": 1})"), "'alpha_us'"},
      {file("{}", R"(, "items": 10)"), "'tensor' is missing"}};
  for (const auto& [text, why] : cases) try {
      (void)parse_cluster_job(text, "a.json");
      ADD_FAILURE() << text;
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr(why));
      EXPECT_THAT(error.what(), HasSubstr("a.json"));
    }
}

}  // namespace
}  // namespace retinue::study
