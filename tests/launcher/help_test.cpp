#include "launcher/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace retinue::launcher {
namespace {

using testing::HasSubstr;

TEST(Help, ListsEveryVerb) {
  const std::string help = overall_help();
  for (const Verb& verb : verbs()) EXPECT_THAT(help, HasSubstr("  " + std::string(verb.name)));
}

TEST(Help, ListsEveryOptionOfAVerb) {
  CommandOptions options;
  for (const Verb& verb : verbs()) {
    const auto tables = tables_of(verb.name, options);
    const std::string help = verb_help(verb, tables);
    for (const Table& table : tables)
      for (const Option& option : table.options)
        EXPECT_THAT(help, HasSubstr("  --" + std::string(option.name) + " "));
  }
}

TEST(Help, ShowsDefaults) {
  CommandOptions options;
  const auto tables = tables_of("caption", options);
  const std::string help = verb_help(verbs().front(), tables);
  EXPECT_THAT(help, HasSubstr("longest answer (default: 256 tokens)"));
  EXPECT_THAT(help, HasSubstr("(required)"));
}

TEST(Help, FitsAScreen) {
  CommandOptions options;
  for (const Verb& verb : verbs()) {
    const auto tables = tables_of(verb.name, options);
    std::istringstream lines(verb_help(verb, tables));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST(ConfigsReadme, IsWhatTheTablesSay) {
  std::ifstream in(RETINUE_SOURCE_DIR "/configs/README.md");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(text, configs_readme())
      << "Write it again: build/bin/retinue help --markdown >configs/README.md";
  EXPECT_THAT(text, HasSubstr("study (not `ranks`, `print_launch`)"));
  EXPECT_THAT(text, HasSubstr("quantize (`config`, `quiet`, `no_progress` alone)"));
}

}  // namespace
}  // namespace retinue::launcher
