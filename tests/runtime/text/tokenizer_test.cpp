#include "runtime/text/tokenizer.h"

#include "parallel/base/check.h"
#include "parallel/base/utf8.h"
#include "runtime/text/pretokenizer.h"
#include "tests/runtime/text/tokenizer_golden.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

namespace retinue::runtime {
namespace {

TEST(Tokenizer, IdsOfCommittedVocabularyEqualReference) {
  expect_ids_of_reference(own_tokenizer(), 1);
}

TEST(Tokenizer, TextOfCommittedVocabularyEqualsReference) {
  expect_text_of_reference(own_tokenizer(), 1);
}

TEST(Tokenizer, DecodeInvertsEncodeUpToNfcAndReplacement) {
  const Tokenizer& tokenizer = own_tokenizer();
  const Detokenizer detokenizer(tokenizer.token_bytes(), tokenizer.special_flags());
  std::ifstream file(text_golden("strings.jsonl"));
  std::string line;
  while (std::getline(file, line)) {
    const std::string text = golden_text(nlohmann::json::parse(line)[0]);
    // Added tokens cut the text before NFC; as plain text none of them does so here.
    if (text.find('<') != std::string::npos) continue;
    EXPECT_EQ(detokenizer.decode(tokenizer.encode(text), false),
              normalize_nfc(replace_malformed_utf8(text)));
  }
}

TEST(Tokenizer, OffsetsOfPlainTextChooseWhichSpecialsAreTokens) {
  const Tokenizer& tokenizer = own_tokenizer();
  const std::string text = "<|im_end|>a<|im_end|>";
  const std::int32_t end = *tokenizer.token_to_id("<|im_end|>");
  const std::size_t first[] = {0};
  const Ids ids = tokenizer.encode(text, first);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 1);
  EXPECT_EQ(ids.back(), end);
  const std::size_t both[] = {0, 11};
  EXPECT_EQ(tokenizer.encode(text, both), tokenizer.encode(text, SpecialText::kPlain));
  EXPECT_EQ(tokenizer.encode(text, std::span<const std::size_t>{}), tokenizer.encode(text));
}

TEST(Tokenizer, SeparatesSpecialFromAddedTokens) {
  const Tokenizer& tokenizer = own_tokenizer();
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.token_to_id("<|image_pad|>")));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.token_to_id("</think>")));
  EXPECT_EQ(tokenizer.special_tokens().size(), 14U);
  EXPECT_FALSE(tokenizer.token_to_id("no such token").has_value());
  EXPECT_EQ(tokenizer.id_to_token(*tokenizer.token_to_id("<think>")), "<think>");
  EXPECT_EQ(tokenizer.id_to_token(-1), "");
  EXPECT_EQ(tokenizer.id_to_token(tokenizer.vocab_size()), "");
  EXPECT_FALSE(tokenizer.is_special(1 << 30));
}

// A quadratic step anywhere would take minutes: the timeout of the test is the assertion.
TEST(Tokenizer, MegabyteInputsTakeNoQuadraticTime) {
  const Tokenizer& tokenizer = own_tokenizer();
  constexpr std::size_t kSize = 1 << 20;
  const auto repeat = [](std::string_view unit) {
    std::string text;
    while (text.size() < kSize) text += unit;
    return text;
  };
  for (const std::string_view unit :
       {"a", " ", "\n", "ab", "0", "!", "<", "\u0301\u0316", "가", "\xff", "\u3042", " \n ",
        "\u1100\u1161", "<|im_end|", "'s"}) {
    EXPECT_FALSE(tokenizer.encode(repeat(unit)).empty()) << unit;
  }
}

/// The committed file with one edit.
std::string message_for(const std::function<void(nlohmann::ordered_json&)>& edit) {
  auto json = nlohmann::ordered_json::parse(read_file(text_golden("tokenizer/tokenizer.json")));
  edit(json);
  try {
    (void)Tokenizer::parse(json.dump(), "x/tokenizer.json");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Tokenizer, RefusesOtherPipelinesNamingTheKey) {
  using Json = nlohmann::ordered_json;
  const auto split = [](Json& j) -> Json& { return j["pre_tokenizer"]["pretokenizers"][0]; };
  const std::vector<std::pair<std::string, std::function<void(Json&)>>> cases = {
      {"normalizer", [](Json& j) { j.erase("normalizer"); }},
      {"normalizer", [](Json& j) { j["normalizer"] = nullptr; }},
      {"normalizer.type", [](Json& j) { j["normalizer"]["type"] = "NFKC"; }},
      {"decoder", [](Json& j) { j["decoder"] = 3; }},
      {"post_processor.type", [](Json& j) { j["post_processor"]["type"] = "TemplateProcessing"; }},
      {"\\d+", [&](Json& j) { split(j)["pattern"]["Regex"] = "\\d+"; }},
      {"behavior", [&](Json& j) { split(j)["behavior"] = "Removed"; }},
      {"use_regex", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1].erase("use_regex"); }},
      {"model.type", [](Json& j) { j["model"]["type"] = "Unigram"; }},
      {"model.byte_fallback", [](Json& j) { j["model"]["byte_fallback"] = true; }},
      {"model.ignore_merges", [](Json& j) { j["model"]["ignore_merges"] = true; }},
      {"model.dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }},
      {"model.vocab", [](Json& j) { j["model"].erase("vocab"); }},
      {"model.vocab", [](Json& j) { j["model"]["vocab"]["a"] = "x"; }},
      {"model.vocab", [](Json& j) { j["model"]["vocab"]["a"] = -1; }},
      {"model.vocab", [](Json& j) { j["model"]["vocab"]["a"] = 1LL << 40; }},
      {"model.vocab", [](Json& j) { j["model"]["vocab"]["a"] = j["model"]["vocab"]["b"]; }},
      {"no entry for byte 0x61", [](Json& j) { j["model"]["vocab"].erase("a"); }},
      {"model.merges", [](Json& j) { j["model"]["merges"] = "a b"; }},
      {"model.merges", [](Json& j) { j["model"]["merges"][3] = {"a"}; }},
      {"model.merges", [](Json& j) { j["model"]["merges"][3] = "ab"; }},
      {"model.merges",
       [](Json& j) {
         j["model"]["merges"][3] = {"qq", "zz"};
       }},
      {"added_tokens", [](Json& j) { j["added_tokens"] = 1; }},
      {"added_tokens", [](Json& j) { j["added_tokens"][0].erase("id"); }},
      {"lstrip", [](Json& j) { j["added_tokens"][0]["lstrip"] = true; }},
      {"added_tokens", [](Json& j) { j["added_tokens"][0]["id"] = 5; }},
      {"wanted an object", [](Json& j) { j = Json::array(); }},
  };
  for (const auto& [key, edit] : cases) {
    const std::string message = message_for(edit);
    EXPECT_THAT(message, testing::HasSubstr("x/tokenizer.json"));
    EXPECT_THAT(message, testing::HasSubstr(key));
  }
  EXPECT_EQ(message_for([](Json&) {}), "accepted");
}

TEST(Tokenizer, APointerOfGitLfsIsNamed) {
  try {
    (void)Tokenizer::parse("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 11\n",
                           "t");
    FAIL() << "wanted a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("pointer of Git LFS"));
  }
}

TEST(Tokenizer, AFileOf500000LevelsIsRefused) {
  const std::string whole = read_file(text_golden("tokenizer/tokenizer.json"));
  const std::string deep = std::string(500'000, '[') + std::string(500'000, ']');
  for (const char* key : {"normalizer", "vocab", "merges", "added_tokens", "dropout", "other"}) {
    const std::string more = "{\"" + std::string(key) + "\":" + deep + ",";
    try {
      (void)Tokenizer::parse(more + whole.substr(whole.find('{') + 1), "t");
      FAIL() << "wanted a UsageError";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("t: wanted at most 1000 levels of brackets"));
    }
  }
}

TEST(Tokenizer, ReadsMergesAsPairsOrStrings) {
  auto json = nlohmann::ordered_json::parse(read_file(text_golden("tokenizer/tokenizer.json")));
  for (auto& merge : json["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  const Tokenizer strings = Tokenizer::parse(json.dump(), "strings");
  const std::string text = "A bicycle leans against the wall. Велосипед";
  EXPECT_EQ(strings.encode(text), own_tokenizer().encode(text));
}

TEST(Tokenizer, EveryTruncationIsAUsageError) {
  const std::string whole = read_file(text_golden("tokenizer/tokenizer.json"));
  for (std::size_t size = 0; size < whole.size(); size += 97) {
    EXPECT_THROW((void)Tokenizer::parse(whole.substr(0, size), "cut"), UsageError) << size;
  }
  EXPECT_THROW((void)Tokenizer::load("/no/such/file"), UsageError);
}

}  // namespace
}  // namespace retinue::runtime
