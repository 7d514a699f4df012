// Whole studies with invented runs: the files on disk, resuming, refusals.
#include "runtime/study/study.h"

#include "parallel/base/check.h"
#include "runtime/study/report/page.h"
#include "runtime/study/report/table.h"
#include "tests/support/temporary_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace retinue::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Writes the files of a run: `items` one after the other, a step of a millisecond each, which the
/// ranks share.
void write_run(const RunRequest& request, std::int64_t items, const std::string& caption) {
  const Layout layout = request.cell.layout;
  fs::create_directories(request.folder + "/profile");
  const double work_s = 1e-3 * static_cast<double>(items) / layout.ranks();
  Json report = {
      {"schema_version", 1},
      {"items", {{"all", items}, {"done", items}, {"failed", 0}}},
      {"this_run", {{"media", items}, {"prompt_tokens", 20 * items}, {"completion_tokens", items}}},
      {"dtype", "bf16"},
      {"projections_dtype", "f8_e4m3"},
      {"kv_cache_dtype", "bf16"},
      {"versions", {{"retinue", "1"}, {"revision", "r"}}},
      {"numerics", {{"fingerprint", "f"}}}};
  std::ofstream(request.folder + "/report.json") << report;
  std::ofstream captions(request.folder + "/captions.jsonl");
  for (std::int64_t i = 0; i < items; ++i)
    captions << Json{{"id", std::to_string(i)}, {"caption", caption}}.dump() << "\n";
  const auto n = static_cast<std::size_t>(items / layout.data);
  const auto list = [&](std::int64_t value) { return std::vector<std::int64_t>(n, value); };
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    const bool leaders = rank % layout.tensor == 0;
    std::vector<std::int64_t> at;
    for (std::size_t i = 0; i < n; ++i)
      at.push_back(static_cast<std::int64_t>(1e9 * work_s * static_cast<double>(i + 1) /
                                             static_cast<double>(n)));
    Json profile = {
        {"schema_version", 1},
        {"threads", 1},
        {"device", "cpu"},
        {"weight_bytes", 100},
        {"load_s", 0.1},
        {"work_s", work_s},
        {"limits",
         {{"max_batch_tokens", 64},
          {"max_sequences", 1},
          {"encode_patches", 64},
          {"feature_rows", 64},
          {"kv_tokens", 4096}}},
        {"engine",
         {{"plan_s", 0},
          {"wait_s", 0},
          {"encode_s", 0.1 * work_s},
          {"forward_s", 0.8 * work_s},
          {"sample_s", 0},
          {"starved_s", 0},
          {"admitted", n},
          {"preempted", 0},
          {"reused_tokens", 0}}},
        {"feed", {{"pixels", n}, {"pixels_cpu_s", 0}, {"questions", n}, {"questions_cpu_s", 0}}},
        {"steps",
         {{"rows", list(20)},
          {"logit_rows", list(1)},
          {"keys", list(400)},
          {"patches", list(0)},
          {"ns", list(static_cast<std::int64_t>(1e6 / layout.tensor))}}},
        {"collectives",
         {{"bytes", std::vector<int>{80, 80}},
          {"ns", std::vector<int>{1000 * (rank + 1), 1000 * (2 - rank % 2)}},
          {"cpu_ns", std::vector<int>{300 * (rank + 1), 500}}}},
        {"records",
         {{"prompt_tokens", leaders ? list(20) : list(0)},
          {"completion_tokens", list(1)},
          {"patches", list(0)},
          {"stopped", list(0)},
          {"ns", at}}}};
    if (!leaders) profile["records"] = profile["steps"] = Json::object();
    if (!leaders) profile["steps"] = {{"patches", list(0)}};
    std::ofstream(fmt::format("{}/profile/r{:05}.json", request.folder, rank)) << profile;
  }
}

class RunStudy : public testing::Test {
 protected:
  StudyOptions options() {
    StudyOptions options;
    options.plan.layouts = parse_layouts("1x1,2x1,1x2");
    options.plan.trials = 2;
    options.output = folder_.path("study");
    options.limit = 40;
    options.provenance.title = "model";
    options.provenance.machine = "a machine";
    return options;
  }
  int run(const StudyOptions& options) {
    study_ = {};
    return run_study(
        options,
        [&](const RunRequest& request) {
          asked_.push_back(request);
          if (asked_.size() == fails_at_)
            return RunOutcome{.exit_code = 75, .wall_s = 1, .energy_j = {}};
          write_run(request, answers_ ? request.limit : 0,
                    request.cell.layout == wrong_ ? "other words" : "words");
          return RunOutcome{.exit_code = 0, .wall_s = 1, .energy_j = {}};
        },
        [](const std::string&) {}, study_);
  }

  test::TemporaryFolder folder_;
  std::vector<RunRequest> asked_;
  std::size_t fails_at_ = 0;
  bool answers_ = true;
  Layout wrong_{0, 0};
  Study study_;
};

TEST_F(RunStudy, RunsEveryCellAndLeavesReportTableAndNoRunFolders) {
  EXPECT_EQ(run(options()), 0);
  EXPECT_TRUE(study_.complete());
  const std::string folder = folder_.path("study");
  const Json json = Json::parse(text_of(folder + "/study.json"));
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["schema_version"], 1);
  ASSERT_EQ(json["cases"].size(), 3U);
  EXPECT_NEAR(json["cases"][0]["makespan_s"]["median"], 0.04, 1e-9);
  EXPECT_NEAR(json["cases"][1]["efficiency"], 1, 1e-9);
  EXPECT_EQ(json["trials"].size(), study_.planned);
  EXPECT_EQ(text_of(folder + "/index.html"),
            page_of(nlohmann::ordered_json::parse(text_of(folder + "/study.json"))));
  EXPECT_TRUE(fs::is_empty(folder + "/runs"));
  EXPECT_THAT(table(study_, summarize(study_), folder),
              HasSubstr("captions identical in all layouts: yes"));
}

TEST_F(RunStudy, NamesTheTypesOfItsJobs) {
  EXPECT_EQ(run(options()), 0);
  const Json json = Json::parse(text_of(folder_.path("study/study.json")));
  const Json types = {
      {"dtype", "bf16"}, {"projections_dtype", "f8_e4m3"}, {"kv_cache_dtype", "bf16"}};
  EXPECT_EQ(json["job"], types);
  EXPECT_EQ(load_study(folder_.path("study")).cells[3].measurement.projections_dtype, "f8_e4m3");
}

TEST(Table, WhatRoundsToZeroHasNoMinus) {
  EXPECT_EQ(decimal(-0.04, 1), "0.0");
  EXPECT_EQ(decimal(-0.06, 1), "-0.1");
  EXPECT_EQ(decimal(-0.0, 0), "0");
  EXPECT_EQ(decimal(-10, 0), "-10");
  EXPECT_EQ(percent(-0.004), "0 %");
  EXPECT_EQ(percent(-0.006), "-1 %");
  EXPECT_EQ(percent({}), "-");
  Summary summary;
  summary.drift = -0.0004;
  EXPECT_THAT(table({}, summary, "x"), HasSubstr("baseline at the end +0.0 %."));
  summary.drift = -0.0006;
  EXPECT_THAT(table({}, summary, "x"), HasSubstr("baseline at the end -0.1 %."));
}

TEST_F(RunStudy, PredictsTheMakespanOfRunsFromTheirSteps) {
  EXPECT_EQ(run(options()), 0);
  const Summary summary = summarize(study_);
  for (const CaseResult& result : summary.cases) {
    ASSERT_TRUE(result.model_error().has_value());
    EXPECT_LT(std::abs(*result.model_error()), 0.06) << result.what.id();
  }
}

TEST_F(RunStudy, CollectivesAreSplitIntoTransferAndWaiting) {
  EXPECT_EQ(run(options()), 0);
  for (const MeasuredCell& cell : study_.cells)
    if (cell.cell.layout == Layout{2, 1}) {
      EXPECT_NEAR(*cell.measurement.transfer_s, 2e-6, 1e-12);  // 1 us and 1 us
      EXPECT_NEAR(*cell.measurement.late_s, 1e-6, 1e-12);      // the leader's second took 2 us
      EXPECT_NEAR(*cell.measurement.collectives_cpu_s, 1.9e-6, 1e-12);
    }
}

TEST_F(RunStudy, ResumesWhereARunFailed) {
  fails_at_ = 5;
  EXPECT_EQ(run(options()), 75);
  EXPECT_EQ(Json::parse(text_of(folder_.path("study/study.json")))["complete"], false);
  const std::size_t before = asked_.size();
  EXPECT_EQ(run(options()), 0);
  EXPECT_EQ(asked_.size() - before, study_.planned - 4);  // four were done
  EXPECT_EQ(load_study(folder_.path("study")).cells.size(), study_.planned);
}

TEST_F(RunStudy, AnotherStudyIsRefusedByKey) {
  EXPECT_EQ(run(options()), 0);
  StudyOptions other = options();
  other.plan.trials = 5;
  try {
    run(other);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("trials is 2, now 5"));
  }
}

TEST_F(RunStudy, EndsAfterTheFirstRunOfWhichNoReportCanCome) {
  answers_ = false;
  try {
    run(options());
    FAIL() << "a study of nothing went on";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("none of 0 items was answered"));
  }
  EXPECT_EQ(asked_.size(), 1U);
  answers_ = true;
  asked_.clear();
  StudyOptions few = options();
  few.output = folder_.path("few");
  few.limit = 4;  // two steps in each of two calibrations
  try {
    run(few);
    FAIL() << "a study without steps to fit went on";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("had 2 steps with work; with 2 such runs"));
  }
  EXPECT_EQ(asked_.back().cell.kind, CellKind::kCalibration);
  EXPECT_LT(asked_.size(), study_.planned);
}

TEST_F(RunStudy, OtherCaptionsAreReported) {
  wrong_ = {2, 1};
  EXPECT_EQ(run(options()), 0);
  const Summary summary = summarize(study_);
  EXPECT_GT(summary.different, 0);
  EXPECT_THAT(table(study_, summary, "x"), HasSubstr("identical in all layouts: NO"));
  EXPECT_THAT(table(study_, summary, "x"), HasSubstr("CAPTIONS DIFFER"));
}

TEST_F(RunStudy, WeakScalingGivesEachRankAsMuch) {
  StudyOptions weak = options();
  weak.plan.scalings = parse_scaling("weak");
  EXPECT_EQ(run(weak), 0);
  for (const RunRequest& request : asked_)
    if (request.cell.kind == CellKind::kTrial) {
      EXPECT_EQ(request.limit, 40 * request.cell.layout.ranks() / 2);
    }
}

TEST_F(RunStudy, DamagedCellsAndAbsentFoldersAreNamed) {
  EXPECT_EQ(run(options()), 0);
  const std::string cell = folder_.path("study/cells/" + study_.cells[0].cell.id() + ".json");
  std::ofstream(cell) << "{\"measurement\": {}}";
  try {
    (void)load_study(folder_.path("study"));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr(cell));
  }
  EXPECT_THROW((void)load_study(folder_.path("nowhere")), UsageError);
  EXPECT_THROW((void)load_study(std::string(300, 'a')), UsageError);
  const std::string plan = folder_.path("study/plan.json");
  Json without = Json::parse(std::ifstream(plan));
  without.erase("provenance");
  for (const std::string& text :
       {without.dump(), std::string(R"({"question":5})"), std::string("[]"), std::string("{")}) {
    std::ofstream(plan) << text;
    EXPECT_THAT([&] { (void)run(options()); },
                testing::ThrowsMessage<UsageError>(HasSubstr(plan + " is no plan of a study")))
        << text;
  }
}

}  // namespace
}  // namespace retinue::study
