#include "runtime/text/tokenizer_file.h"

#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/git_lfs.h"
#include "runtime/text/pretokenizer.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::json;

// Bounds the tables that a malformed file can ask for; Qwen's largest id is 151668.
constexpr std::int64_t kMaxId = 1 << 20;
constexpr std::size_t kMaxMerges = 1 << 22;

/// Collects the file while it is parsed. Vocabulary and merges are 99 % of its 11 MB: they go into
/// lists at once, without a JSON value for each entry. Only the rest becomes a tree.
class Collector final : public nlohmann::json_sax<Json> {
 public:
  struct Merge {
    std::array<std::string, 2> sides;
    int count = 0;  ///< a pair of tokens has 2; anything else is malformed
  };
  Json rest;
  std::vector<std::pair<std::string, std::int64_t>> vocab;  ///< -1 where the value is no id
  std::vector<Merge> merges;
  bool has_vocab = false, has_merges = false;
  std::string error;

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(std::int64_t value) override { return scalar(value); }
  bool number_float(double value, const std::string&) override { return scalar(value); }
  bool binary(Json::binary_t&) override { return false; }  // not in JSON text
  bool number_unsigned(std::uint64_t value) override {
    if (in_ != In::kVocab || nested_ > 0) return scalar(value);
    vocab.back().second = value < std::uint64_t{kMaxId} ? static_cast<std::int64_t>(value) : -1;
    return true;
  }
  bool string(std::string& value) override {
    if (in_ != In::kMerges) return scalar(std::move(value));
    if (nested_ == 0) {
      merges.push_back(split(value));
    } else if (Merge& merge = merges.back(); merge.count < 2) {
      merge.sides[static_cast<std::size_t>(merge.count++)] = std::move(value);
    } else {
      merge.count = kMalformed;
    }
    return true;
  }
  bool key(std::string& name) override {
    if (in_ == In::kVocab && nested_ == 0)
      vocab.emplace_back(std::move(name), -1);
    else if (in_ == In::kRest)
      key_ = std::move(name);
    return true;
  }
  bool start_object(std::size_t) override {
    if (in_ != In::kRest) return nest();
    if (is_of_model("vocab")) {
      in_ = In::kVocab;
      return has_vocab = true;
    }
    open_.push_back(put(Json::object()));
    return true;
  }
  bool start_array(std::size_t) override {
    if (in_ != In::kRest) return nest();
    if (is_of_model("merges")) {
      in_ = In::kMerges;
      return has_merges = true;
    }
    open_.push_back(put(Json::array()));
    return true;
  }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }
  bool parse_error(std::size_t, const std::string&, const Json::exception& reason) override {
    error = reason.what();
    return false;
  }

 private:
  enum class In { kRest, kVocab, kMerges };
  static constexpr int kMalformed = 3;

  static Merge split(const std::string& line) {
    const std::size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) return {};
    return {{line.substr(0, space), line.substr(space + 1)}, 2};
  }

  bool is_of_model(std::string_view name) const {
    return open_.size() == 2 && at_model_ && key_ == name;
  }

  /// Adds a value to the tree, in an object under the key that was read last.
  Json* put(Json value) {
    if (open_.empty()) {
      rest = std::move(value);
      return &rest;
    }
    if (open_.size() == 1) at_model_ = key_ == "model";
    Json& parent = *open_.back();
    if (!parent.is_array()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }

  bool scalar(Json value) {
    if (in_ == In::kRest)
      put(std::move(value));
    else if (in_ == In::kMerges)
      begin_or_refuse_merge();
    return true;
  }

  /// Enters an array or object within a list. Among merges it is a pair; among ids it is malformed.
  bool nest() {
    if (in_ == In::kMerges) begin_or_refuse_merge();
    ++nested_;
    return true;
  }
  void begin_or_refuse_merge() {
    if (nested_ == 0)
      merges.emplace_back();
    else
      merges.back().count = kMalformed;
  }

  bool end() {
    if (in_ == In::kRest)
      open_.pop_back();
    else if (nested_ > 0)
      --nested_;
    else
      in_ = In::kRest;
    return true;
  }

  std::vector<Json*> open_;
  std::string key_;
  bool at_model_ = false;
  In in_ = In::kRest;
  int nested_ = 0;  ///< arrays and objects open inside a list
};

/// Checks one tokenizer.json. Errors name the key.
class Checker {
 public:
  explicit Checker(const std::string& name) : name_(name) {}

  [[noreturn]] void fail(std::string_view key, std::string_view what) const {
    refuse_tokenizer(name_, key, what);
  }

  /// The value under `key`; null where it is absent or `parent` is no object.
  static const Json& at(const Json& parent, const char* key) {
    static const Json kNull;
    const auto found = parent.find(key);
    return found == parent.end() ? kNull : *found;
  }

  const Json& object_at(const Json& parent, const char* key) const {
    const Json& value = at(parent, key);
    if (!value.is_object()) fail(key, "wanted an object");
    return value;
  }

  void want_string(const Json& parent, const char* key, std::string_view wanted,
                   std::string_view where) const {
    const Json& value = at(parent, key);
    if (!value.is_string()) fail(fmt::format("{}.{}", where, key), "wanted a string");
    const auto& text = value.get_ref<const std::string&>();
    if (text != wanted)
      fail(fmt::format("{}.{}", where, key),
           fmt::format("wanted \"{}\", got \"{}\"", wanted, text));
  }

  void want_false(const Json& parent, const char* key, std::string_view where) const {
    const Json& value = at(parent, key);
    if (!value.is_null() && value != false)
      fail(fmt::format("{}.{}", where, key), "wanted false, which is all that is supported");
  }

  void want_empty(const Json& parent, const char* key, std::string_view where) const {
    const Json& value = at(parent, key);
    if (!value.is_null() && value != "")
      fail(fmt::format("{}.{}", where, key), "wanted null or an empty string");
  }

  void check_pipeline(const Json& root) const {
    want_string(object_at(root, "normalizer"), "type", "NFC", "normalizer");
    want_string(object_at(root, "decoder"), "type", "ByteLevel", "decoder");
    if (!at(root, "post_processor").is_null())
      want_string(object_at(root, "post_processor"), "type", "ByteLevel", "post_processor");
    const Json& pre = object_at(root, "pre_tokenizer");
    want_string(pre, "type", "Sequence", "pre_tokenizer");
    const std::string_view where = "pre_tokenizer.pretokenizers";
    const Json& steps = at(pre, "pretokenizers");
    if (!steps.is_array() || steps.size() != 2) fail(where, "wanted a Split and a ByteLevel");
    const Json &split = steps[0], &bytes = steps[1];
    if (!split.is_object() || !bytes.is_object()) fail(where, "wanted objects");
    want_string(split, "type", "Split", where);
    want_string(split, "behavior", "Isolated", where);
    want_false(split, "invert", where);
    const Json& pattern = at(split, "pattern");
    if (!pattern.is_object()) fail("pre_tokenizer…pattern", "wanted an object");
    want_string(pattern, "Regex", kQwenSplitPattern, "pre_tokenizer…pattern");
    want_string(bytes, "type", "ByteLevel", where);
    want_false(bytes, "add_prefix_space", where);
    if (at(bytes, "use_regex") != false)  // the reference's default is true
      fail("pre_tokenizer…use_regex", "wanted false: the Split before it cuts the text");
  }

  void check_model(const Json& root) const {
    const Json& model = object_at(root, "model");
    want_string(model, "type", "BPE", "model");
    want_false(model, "byte_fallback", "model");
    want_false(model, "ignore_merges", "model");
    want_empty(model, "continuing_subword_prefix", "model");
    want_empty(model, "end_of_word_suffix", "model");
    const Json& dropout = at(model, "dropout");
    if (!dropout.is_null() && dropout != 0.0) fail("model.dropout", "wanted null");
  }

  std::int32_t checked_id(std::int64_t id, std::string_view key) const {
    if (id < 0 || id >= kMaxId) fail(key, fmt::format("wanted an id from 0 to {}", kMaxId - 1));
    return static_cast<std::int32_t>(id);
  }

  TokenizerFile::AddedToken added_token(const Json& entry) const {
    const Json &content = at(entry, "content"), &id = at(entry, "id");
    if (!content.is_string() || content == "" || id.is_null())
      fail("added_tokens", "wanted objects with content and id");
    for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"})
      want_false(entry, key, "added_tokens");
    return {
        .content = content,
        .id = checked_id(id.is_number_integer() ? id.get<std::int64_t>() : -1, "added_tokens.id"),
        .special = at(entry, "special") == true};
  }

 private:
  const std::string& name_;
};

}  // namespace

void refuse_tokenizer(const std::string& name, std::string_view key, std::string_view what) {
  throw UsageError(fmt::format(
      "[tokenizer] {}: {}: {}. Use the tokenizer.json of a Qwen checkpoint.", name, key, what));
}

TokenizerFile parse_tokenizer_file(std::string_view json, const std::string& name) {
  const Checker checker(name);
  Collector read;
  if (is_git_lfs_pointer(json))
    throw UsageError(fmt::format("[tokenizer] {}: {}", name, kGitLfsPointer));
  layers::refuse_many_levels(json, "[tokenizer] " + name);
  if (!Json::sax_parse(json, &read)) checker.fail("file", fmt::format("not JSON: {}", read.error));
  checker.check_pipeline(read.rest);
  checker.check_model(read.rest);

  TokenizerFile file;
  if (!read.has_vocab) checker.fail("model.vocab", "wanted an object");
  file.vocab.reserve(read.vocab.size());
  for (auto& [token, id] : read.vocab)
    file.vocab.emplace_back(std::move(token), checker.checked_id(id, "model.vocab"));
  if (!read.has_merges || read.merges.size() > kMaxMerges)
    checker.fail("model.merges", fmt::format("wanted an array of at most {}", kMaxMerges));
  file.merges.reserve(read.merges.size());
  for (auto& [sides, count] : read.merges) {
    if (count != 2)
      checker.fail("model.merges",
                   fmt::format("entry {} is no pair of tokens", file.merges.size()));
    file.merges.emplace_back(std::move(sides[0]), std::move(sides[1]));
  }
  const Json& added = Checker::at(read.rest, "added_tokens");
  if (!added.is_null() && !added.is_array()) checker.fail("added_tokens", "wanted an array");
  for (const Json& entry : added) file.added.push_back(checker.added_token(entry));
  return file;
}

}  // namespace retinue::runtime::detail
