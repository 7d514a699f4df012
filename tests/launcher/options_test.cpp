#include "launcher/options.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace retinue::launcher {
namespace {

std::map<std::string, std::string> defaults(const std::string& verb) {
  CommandOptions options;
  std::map<std::string, std::string> found;
  for (const Table& table : tables_of(verb, options))
    for (const Option& option : table.options)
      EXPECT_TRUE(found.emplace(option.name, default_text(option)).second) << option.name;
  return found;
}

// The contract of the command line: what is promised is there, with its default.
const std::map<std::string, std::string> kRunning = {
    {"model", "required"},
    {"weights", "checkpoint"},
    {"ranks", "one per visible GPU; on CPU one, or one per host named"},
    {"hostfile", ""},
    {"hosts", ""},
    {"print-launch", "off"},
    {"share-device", "off"},
    {"tensor-parallel", "smallest power of two whose memory plan fits; 1 on CPU"},
    {"device", "auto"},
    {"dtype", "auto"},
    {"kv-cache-dtype", "auto"},
    {"reduce", "ordered on CPU; retinue info names it on CUDA"},
    {"threads", "cores / ranks of the host"},
    {"max-batch-tokens", "from the memory plan"},
    {"max-sequences", "from the memory plan"},
    {"kv-memory-gib", "from the memory plan"},
    {"kv-block-tokens", "from the memory plan"},
    {"min-pixels", "the model's"},
    {"max-pixels", "the model's"},
    {"alpha", "white"},
    {"exif", "apply"},
    {"video-prompt", "inner"},
    {"max-new-tokens", "256"},
    {"temperature", "0"},
    {"top-p", "1"},
    {"top-k", "0"},
    {"min-p", "0"},
    {"repetition-penalty", "1"},
    {"presence-penalty", "0"},
    {"seed", "0"},
    {"stop", ""},
    {"sampling", "the flags below"},
    {"ignore-eos", "off"},
    {"config", ""},
    {"log-level", "info"},
    {"log-dir", "no files"},
    {"quiet", "off"},
    {"no-progress", "off"},
};

void expect_has(const std::map<std::string, std::string>& has,
                const std::map<std::string, std::string>& wanted) {
  for (const auto& [name, value] : wanted) {
    ASSERT_TRUE(has.contains(name)) << name;
    EXPECT_EQ(has.at(name), value) << name;
  }
}

TEST(Options, RunningVerbsShareTheirs) {
  for (const char* verb : {"caption", "ask", "trace", "check"}) {
    SCOPED_TRACE(verb);
    expect_has(defaults(verb), kRunning);
  }
}

TEST(Options, EachVerbHasItsOwn) {
  expect_has(defaults("caption"), {{"input", "required"},
                                   {"input-format", "read from the content"},
                                   {"output", "required"},
                                   {"prompt", "Describe this image."},
                                   {"prompt-file", ""},
                                   {"system", ""},
                                   {"limit", "0"},
                                   {"shard", ""},
                                   {"shuffle", "input order"},
                                   {"retry-failed", "off"},
                                   {"max-failures", "no budget"},
                                   {"fsync-interval-ms", "50"},
                                   {"monitor", "off"},
                                   {"logprobs", "off"}});
  expect_has(defaults("check"), {{"input", "required"}, {"output", ""}, {"gpu-memory-gib", "80"}});
  expect_has(defaults("ask"), {{"image", ""}, {"video", ""}, {"prompt", ""}, {"messages", ""}});
  expect_has(defaults("trace"), {{"image", ""}, {"output", "required"}, {"decode", "0"}});
  expect_has(defaults("quantize"), {{"model", "required"},
                                    {"output", "required"},
                                    {"threads", "one per core"},
                                    {"config", ""},
                                    {"quiet", "off"},
                                    {"no-progress", "off"}});
  expect_has(defaults("info"), {{"json", "off"}});
}

TEST(Options, NamesAreLongAndHelpIsWritten) {
  CommandOptions options;
  for (const Verb& verb : verbs())
    for (const Table& table : tables_of(verb.name, options))
      for (const Option& option : table.options) {
        EXPECT_GT(option.name.size(), 2u);
        EXPECT_EQ(option.name.find('_'), option.name.npos) << option.name;
        EXPECT_FALSE(option.help.empty()) << option.name;
        EXPECT_EQ(option.type.empty(), is_flag(option)) << option.name;
        // The unit is in the name or in the table.
        EXPECT_EQ(option.name.ends_with("-ms"), option.unit == "ms") << option.name;
        EXPECT_EQ(option.name.ends_with("-gib"), option.unit == "GiB") << option.name;
      }
}

// A number beyond reason overflowed products later: the process ended by a signal.
TEST(Options, NumbersBeyondReasonAreRefusedByName) {
  CommandOptions options;
  for (const Verb& verb : verbs())
    for (const Table& table : tables_of(verb.name, options))
      for (const Option& option : table.options) {
        if (option.type != "N" && option.type != "X") continue;
        if (std::holds_alternative<std::uint64_t*>(option.target) ||
            std::holds_alternative<std::optional<std::uint64_t>*>(option.target))
          continue;  // a seed
        for (const char* number : {"9223372036854775807", "2000000000000000"}) try {
            set_from_text(option, number, "here");
            ADD_FAILURE() << option.name;
          } catch (const UsageError& error) {
            EXPECT_THAT(error.what(), testing::HasSubstr("here wants ")) << option.name;
          }
      }
}

TEST(Options, EveryVerbHasTables) {
  CommandOptions options;
  for (const Verb& verb : verbs()) EXPECT_FALSE(tables_of(verb.name, options).empty()) << verb.name;
}

// A row's type is written by hand: it shows the names that the option admits, in their order.
TEST(Options, TypesOfNamedValuesListTheirNames) {
  CommandOptions options;
  for (const Verb& verb : verbs())
    for (const Table& table : tables_of(verb.name, options))
      for (const Option& option : table.options) {
        if (!std::holds_alternative<TextForm>(option.target) || option.type == "TEXT" ||
            option.type.find_first_of("[/NA") != option.type.npos)
          continue;
        try {
          set_from_text(option, "no such name", "here");
          ADD_FAILURE() << option.name;
        } catch (const UsageError& error) {
          EXPECT_THAT(error.what(),
                      testing::HasSubstr("wants " + std::string(option.type) + ", got"));
        }
      }
}

TEST(Options, ArgumentsAreTheOptionsThatDifferFromTheirDefaults) {
  CommandOptions now, standard;
  now.check.caption.input = {"a b", "c"};
  now.check.caption.run.threads = 3;
  now.check.caption.run.max_pixels = 4096;
  now.check.caption.sampling.temperature = 0.25;
  now.check.caption.sampling.ignore_eos = true;
  now.check.caption.run.weights = {.random = true, .seed = 7};
  now.check.caption.run.device = DeviceType::kCpu;
  now.check.caption.run.alpha = runtime::Alpha::kDrop;
  std::vector<std::string> arguments;
  const auto tables = run_tables(now), defaults = run_tables(standard);
  for (std::size_t i = 0; i < tables.size(); ++i)
    for (std::string& argument : arguments_of(tables[i], defaults[i]))
      arguments.push_back(std::move(argument));
  EXPECT_THAT(arguments,
              testing::ElementsAre("--input", "a b", "--input", "c", "--weights", "random:7",
                                   "--device", "cpu", "--threads", "3", "--temperature", "0.25",
                                   "--ignore-eos", "--max-pixels", "4096", "--alpha", "drop"));
}

TEST(Options, AStudyReadsTheOptionsOfItsRunsButThoseThatItSets) {
  const auto study = defaults("study");
  for (const char* own : {"layouts", "trials", "ablations", "compare", "simulate", "limit"})
    EXPECT_TRUE(study.contains(own)) << own;
  for (const char* of_runs : {"ranks", "tensor-parallel", "ablation", "profile", "shuffle"})
    EXPECT_FALSE(study.contains(of_runs)) << of_runs;
  EXPECT_EQ(study.at("model"), "");  // --compare needs none
}

}  // namespace
}  // namespace retinue::launcher
