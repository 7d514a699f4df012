#pragma once

#include "runtime/text/detokenizer.h"
#include "runtime/text/tokenizer.h"
#include "tests/runtime/text/text_goldens.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

/// The checks that the committed tokenizer and the real one share; `column` is the tokenizer's
/// place in a row of the goldens (scripts/golden/text.py).
namespace retinue::runtime {

using Ids = std::vector<std::int32_t>;

inline std::string golden_text(const nlohmann::json& cell) {
  if (cell.is_string()) return cell.get<std::string>();
  const auto hex = cell.at("bytes").get<std::string>();
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

inline void expect_ids_of_reference(const Tokenizer& tokenizer, std::size_t column) {
  std::ifstream file(text_golden("strings.jsonl"));
  std::string line;
  int rows = 0, plain_rows = 0, wrong = 0;
  while (std::getline(file, line) && wrong < 10) {
    const auto row = nlohmann::json::parse(line);
    const std::string text = golden_text(row[0]);
    const Ids wanted = row[1 + column].get<Ids>();
    const Ids got = tokenizer.encode(text);
    EXPECT_EQ(got, wanted) << row[0];
    const bool own_plain = row.size() > 3;
    const Ids plain = tokenizer.encode(text, SpecialText::kPlain);
    EXPECT_EQ(plain, own_plain ? row[3 + column].get<Ids>() : wanted) << row[0];
    wrong += got != wanted ? 1 : 0;
    plain_rows += own_plain ? 1 : 0;
    ++rows;
  }
  EXPECT_GE(rows, 5000);
  EXPECT_GE(plain_rows, 100);
}

inline void expect_text_of_reference(const Tokenizer& tokenizer, std::size_t column) {
  const Detokenizer detokenizer(tokenizer.token_bytes(), tokenizer.special_flags());
  std::ifstream file(text_golden("decodings.jsonl"));
  std::string line;
  int rows = 0;
  while (std::getline(file, line)) {
    const auto row = nlohmann::json::parse(line);
    if (row[0] != column) continue;
    const Ids ids = row[1].get<Ids>();
    EXPECT_EQ(detokenizer.decode(ids, false), row[2].get<std::string>()) << row[1];
    EXPECT_EQ(detokenizer.decode(ids, true), row[3].get<std::string>()) << row[1];
    DetokenizerStream stream(detokenizer);
    std::string parts;
    for (const std::int32_t id : ids) parts += stream.push(id);
    EXPECT_EQ(parts + stream.finish(), row[3].get<std::string>()) << row[1];
    ++rows;
  }
  EXPECT_GE(rows, 150);
}

}  // namespace retinue::runtime
