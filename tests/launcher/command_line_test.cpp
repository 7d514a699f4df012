#include "launcher/command_line.h"

#include "launcher/options.h"
#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace retinue::launcher {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Arguments = std::vector<std::string>;

class CommandLine : public testing::Test {
 protected:
  Asked parse(const Arguments& arguments, const std::string& verb = "caption") {
    const auto tables = tables_of(verb, options);
    return parse_command_line(verb, tables, arguments);
  }

  /// With what caption requires in front.
  Asked parse_rest(const Arguments& rest) {
    Arguments arguments = {"--model", "m", "--input", "a", "--output", "o"};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return parse(arguments);
  }

  std::string refusal(const Arguments& arguments, const std::string& verb = "caption") {
    options = {};
    try {
      parse(arguments, verb);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  }

  std::string config(const std::string& text) {
    const std::string path =
        testing::TempDir() + "retinue-config-" + std::to_string(getpid()) + ".json";
    std::ofstream(path) << text;
    return path;
  }

  CommandOptions options;
};

TEST_F(CommandLine, FillsEveryKindOfValue) {
  EXPECT_EQ(parse_rest({"--tensor-parallel", "2", "--temperature=0.7", "--top-k", "40", "--stop",
                        "a", "--stop", "b", "--logprobs", "--prompt=--why?", "--seed",
                        "18446744073709551615", "--presence-penalty", "-0.5"}),
            Asked::kRun);
  const auto& caption = options.check.caption;
  EXPECT_EQ(caption.run.model, "m");
  EXPECT_THAT(caption.input, ElementsAre("a"));
  EXPECT_EQ(caption.run.tensor_parallel, 2);
  EXPECT_EQ(caption.sampling.temperature, 0.7);
  EXPECT_EQ(caption.sampling.top_k, 40);
  EXPECT_THAT(caption.sampling.stop, ElementsAre("a", "b"));
  EXPECT_TRUE(caption.logprobs);
  EXPECT_EQ(caption.prompt, "--why?");
  EXPECT_EQ(caption.sampling.seed, 18446744073709551615u);
  EXPECT_EQ(caption.sampling.presence_penalty, -0.5);
  EXPECT_FALSE(caption.sampling.top_p);
}

TEST_F(CommandLine, TheLastOfTwoValuesStays) {
  parse_rest({"--limit", "3", "--limit", "4", "--logprobs", "--logprobs=false"});
  EXPECT_EQ(options.check.caption.limit, 4);
  EXPECT_FALSE(options.check.caption.logprobs);
}

// A prompt that is given wins over those of the data, the default does not.
TEST_F(CommandLine, APromptIsGivenByItsFlagOrKeyThoughItIsTheDefault) {
  parse_rest({"--limit", "3"});
  EXPECT_FALSE(options.check.caption.prompt_given);
  options = {};
  parse_rest({"--prompt", options.check.caption.prompt});
  EXPECT_TRUE(options.check.caption.prompt_given);
  options = {};
  parse_rest({"--config", config(R"({"prompt": "What?"})")});
  EXPECT_TRUE(options.check.caption.prompt_given);
  EXPECT_EQ(options.check.caption.prompt, "What?");
}

TEST_F(CommandLine, AStandaloneDashIsAValue) {
  parse({"--model", "m", "--input", "-", "--output", "o"});
  EXPECT_THAT(options.check.caption.input, ElementsAre("-"));
}

TEST_F(CommandLine, NamesTheNearestOption) {
  EXPECT_THAT(refusal({"--tensr-parallel", "2"}),
              AllOf(HasSubstr("--tensr-parallel"), HasSubstr("--tensor-parallel")));
  EXPECT_THAT(refusal({"--max_new_tokens", "2"}), HasSubstr("is --max-new-tokens"));
  EXPECT_THAT(refusal({"--tensor", "2"}), HasSubstr("is --tensor-parallel"));
  EXPECT_THAT(refusal({"--outptu=x"}), HasSubstr("is --output"));
  EXPECT_THAT(refusal({"--image", "x"}), HasSubstr("unknown option --image"));
}

TEST_F(CommandLine, RefusesWhatDoesNotFit) {
  EXPECT_THAT(refusal({"photo.jpg"}), HasSubstr("--input photo.jpg"));
  EXPECT_THAT(refusal({"-m", "x"}), HasSubstr("'-m' is no option"));
  EXPECT_THAT(refusal({"--model"}), HasSubstr("wants a value: DIR"));
  EXPECT_THAT(refusal({"--model", "--input"}), HasSubstr("wants a value"));
  EXPECT_THAT(refusal({"--top-k", "4.5"}), HasSubstr("a whole number, got '4.5'"));
  EXPECT_THAT(refusal({"--top-p", "much"}), HasSubstr("a number, got 'much'"));
  EXPECT_THAT(refusal({"--top-p", "nan"}), HasSubstr("finite"));
  EXPECT_THAT(refusal({"--max-new-tokens", "0"}), HasSubstr("at least 1"));
  EXPECT_THAT(refusal({"--threads", "-2"}), HasSubstr("at least 0"));
  EXPECT_THAT(refusal({"--ranks", "99999999999"}), HasSubstr("fits in 32 bits"));
  EXPECT_THAT(refusal({"--device", "gpu"}), HasSubstr("auto|cpu|cuda, got 'gpu'"));
  EXPECT_THAT(refusal({"--logprobs=maybe"}), HasSubstr("true or false"));
}

TEST_F(CommandLine, RefusesValuesThatHaveNoSuchNameAndListsTheNames) {
  EXPECT_THAT(refusal({"--dtype", "f16"}), HasSubstr("auto|bfloat16|float32, got 'f16'"));
  EXPECT_THAT(refusal({"--reduce", "tree"}), HasSubstr("ordered|nccl, got"));
  EXPECT_THAT(refusal({"--alpha", "black"}), HasSubstr("white|drop, got"));
  EXPECT_THAT(refusal({"--exif", "no"}), HasSubstr("apply|ignore, got"));
  EXPECT_THAT(refusal({"--video-prompt", "x"}), HasSubstr("inner|outer, got"));
  EXPECT_THAT(refusal({"--sampling", "file"}), HasSubstr("--sampling wants model, got 'file'"));
  EXPECT_THAT(refusal({"--input-format", "vidoe"}),
              AllOf(HasSubstr("--input-format"), HasSubstr("|tar|parquet, got 'vidoe'")));
  EXPECT_THAT(refusal({"--output-format", "xml"}), HasSubstr("jsonl|webdataset|parquet, got"));
  EXPECT_THAT(refusal({"--ablation", "no-pixels"}),
              HasSubstr("none|null-collectives|preloaded-pixels|text-only, got"));
  EXPECT_THAT(refusal({"--log-level", "loud"}), HasSubstr("debug|info|warning|error, got"));
  EXPECT_THAT(refusal({"--weights", "random:x"}), HasSubstr("--weights"));
  EXPECT_THAT(refusal({"--shard", "3/3"}), HasSubstr("--shard"));
  EXPECT_THAT(refusal({"--max-failures", "101%"}), HasSubstr("--max-failures"));
}

TEST_F(CommandLine, NamesWhatIsMissing) {
  EXPECT_THAT(refusal({"--input", "a", "--output", "o"}), HasSubstr("--model DIR is required"));
  EXPECT_THAT(refusal({"--model", "m", "--output", "o"}), HasSubstr("--input PATH is required"));
  EXPECT_THAT(refusal({"--model", "m"}, "trace"), HasSubstr("--output FILE is required"));
  EXPECT_THAT(refusal({"--model", "m"}, "check"), HasSubstr("--input PATH is required"));
  EXPECT_EQ(refusal({"--model", "m", "--input", "a"}, "check"), "accepted");
  EXPECT_EQ(refusal({"--model", "m"}, "ask"), "accepted");
}

TEST_F(CommandLine, AnswersHelpBeforeAllElse) {
  EXPECT_EQ(parse({"--no-such", "--help"}), Asked::kHelp);
}

TEST_F(CommandLine, ReadsTheFileFirstAndFlagsWin) {
  const std::string file = config(R"({"model": "from-file", "input": ["x", "y"], "output": "o",
      "max_new_tokens": 7, "temperature": 1, "logprobs": true, "ranks": 2, "stop": "end"})");
  parse({"--max-new-tokens", "9", "--config", file});
  const auto& caption = options.check.caption;
  EXPECT_EQ(caption.run.model, "from-file");
  EXPECT_THAT(caption.input, ElementsAre("x", "y"));
  EXPECT_EQ(caption.sampling.max_new_tokens, 9);
  EXPECT_EQ(caption.sampling.temperature, 1);
  EXPECT_THAT(caption.sampling.stop, ElementsAre("end"));
  EXPECT_TRUE(caption.logprobs);
  EXPECT_EQ(options.launch.ranks, 2);
}

TEST_F(CommandLine, FlagsReplaceAListOfTheFile) {
  const std::string file = config(R"({"model": "m", "input": ["x", "y"], "output": "o"})");
  parse({"--config", file, "--input", "z", "--logprobs=false"});
  EXPECT_THAT(options.check.caption.input, ElementsAre("z"));
}

TEST_F(CommandLine, ATextThatMayBeANumberIsOneInTheFileToo) {
  parse({"--config", config(R"({"model": "m", "input": "x", "output": "o", "leaves": 2,
                                "max_failures": 5, "monitor": 9090})")});
  EXPECT_EQ(options.check.caption.run.leaves, 2);
  EXPECT_EQ(options.check.caption.max_failures.text(), "5");
  EXPECT_EQ(options.monitor.monitor, "9090");
  parse_command_line("study", tables_of("study", options),
                     Arguments{"--config", config(R"({"batches": 4, "image_pixels": 65536,
                                                      "gpus": 8})")});
  EXPECT_EQ(options.study.batches, "4");
  EXPECT_EQ(options.study.image_pixels, "65536");
  EXPECT_EQ(options.study.gpus, "8");
  EXPECT_THAT(refusal({"--config", config(R"({"leaves": 3})")}), HasSubstr("8|4|2|1, got '3'"));
  EXPECT_THAT(refusal({"--config", config(R"({"leaves": true})")}),
              HasSubstr("a string or a number, got true"));
  EXPECT_THAT(refusal({"--config", config(R"({"prompt": 3})")}), HasSubstr("a string, got 3"));
}

TEST_F(CommandLine, RefusesUnknownKeysAndWrongKinds) {
  EXPECT_THAT(refusal({"--config", config(R"({"max_tokens": 3})")}),
              AllOf(HasSubstr("unknown key 'max_tokens'"), HasSubstr("'max_new_tokens'")));
  EXPECT_THAT(refusal({"--config", config(R"({"max-new-tokens": 3})")}),
              HasSubstr("'max_new_tokens'"));
  EXPECT_THAT(refusal({"--config", config(R"({"config": "x"})")}), HasSubstr("unknown key"));
  EXPECT_THAT(refusal({"--config", config(R"({"top_k": "3"})")}), HasSubstr("a number, got \"3\""));
  EXPECT_THAT(refusal({"--config", config(R"({"top_k": 3.5})")}), HasSubstr("whole number"));
  EXPECT_THAT(refusal({"--config", config(R"({"logprobs": 1})")}), HasSubstr("true or false"));
  EXPECT_THAT(refusal({"--config", config(R"({"input": [1]})")}), HasSubstr("a string, got 1"));
  EXPECT_THAT(refusal({"--config", config(R"({"exif": "drop"})")}), HasSubstr("apply|ignore"));
  EXPECT_THAT(refusal({"--config", config(R"([])")}), HasSubstr("one JSON object, got array"));
  EXPECT_THAT(refusal({"--config", config(R"({"a": )")}), HasSubstr("is no JSON"));
  const std::string large = config(R"({"temperature": 1e400})");
  EXPECT_THAT(refusal({"--config", large}), HasSubstr("[config] " + large + " is no JSON: "));
  const std::string brackets(500'000, '['), ends(500'000, ']');
  EXPECT_THAT(refusal({"--config", config(R"({"seed": )" + brackets + ends + "}")}),
              HasSubstr("wanted at most 1000 levels of brackets, got 500001"));
  EXPECT_THAT(refusal({"--config", "/no/such/file"}), HasSubstr("No such file"));
  EXPECT_THAT(refusal({"--config", "/"}), HasSubstr("cannot be read"));
}

TEST(Nearest, CountsEdits) {
  const Arguments arguments = {"ask", "trace", "check"};
  EXPECT_EQ(nearest("tarce", arguments), "trace");
  EXPECT_EQ(nearest("chekc", arguments), "check");
  EXPECT_EQ(nearest("", arguments), "ask");
  EXPECT_EQ(nearest("x", {}), "");
}

}  // namespace
}  // namespace retinue::launcher
