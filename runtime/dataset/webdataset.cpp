#include "runtime/dataset/webdataset.h"

#include "runtime/dataset/archive_member.h"
#include "runtime/dataset/file_kind.h"
#include "runtime/dataset/files/left_by_tools.h"
#include "runtime/dataset/json_line.h"
#include "runtime/dataset/manifest.h"
#include "runtime/dataset/manifest_conversation.h"
#include "runtime/dataset/manifest_keys.h"
#include "runtime/formats/tar.h"
#include "runtime/formats/tar_links.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// Of a key in messages.
constexpr std::size_t kLongestKey = 40;

DataError bad(std::string message) { return {"tar", std::move(message)}; }

struct Part {
  std::string extension;  ///< behind the key's dot, lower case
  TarMember member;
  std::optional<MediaKind> kind;

  [[nodiscard]] bool is_prompt() const {
    return extension == "prompt" || extension == "prompt.txt";
  }
  [[nodiscard]] bool asks() const { return is_prompt() || extension == "json"; }
};

struct Sample {
  std::string key;
  std::vector<Part> parts;
  int again = 0;  ///< the number of samples before it in the archive that have its key
};

/// Lists an archive. Its samples are held until its end, because a later part may join any of them.
class Archive {
 public:
  Archive(const std::string& path, bool prompt_given, ItemSink& sink)
      : path_(path), prompt_given_(prompt_given), file_(path), sink_(sink) {}

  bool list() {
    TarReader reader(
        [this](std::int64_t offset, std::span<std::byte> to) { return file_.read_at(offset, to); },
        file_.size());
    std::vector<TarMember> members;
    std::optional<DataError> damage;
    while (true) {
      auto next = reader.next();
      if (!next.ok()) damage = next.error();
      if (!next.ok() || !next.value()) break;
      members.push_back(std::move(**next));
    }
    if (!damage) note_end(reader, members);
    for (std::size_t links = follow_links(members); links > 0; --links)
      sink_.passed_over("links to a file of their own name",
                        "are what tar writes for a file named twice");
    for (TarMember& member : members) take(std::move(member));
    return damage ? end_in_damage(reader, *damage) : emit_all();
  }

 private:
  /// Counts what the end of the archive holds beside its members.
  void note_end(const TarReader& reader, const std::vector<TarMember>& members) {
    if (members.empty()) sink_.passed_over("archives without a file", "hold nothing");
    if (reader.unread_bytes() > 0)
      sink_.passed_over(fmt::format("{} bytes behind the end of {}", reader.unread_bytes(), path_),
                        "are no members of a tar archive");
    const auto joined =
        std::ranges::count_if(members, [](const TarMember& member) { return member.archive > 0; });
    if (joined > 0)
      sink_.passed_over(fmt::format("end marks inside {}", path_),
                        "other programs stop there; the members behind them are read, too");
  }

  /// Puts a member into its sample.
  void take(TarMember member) {
    auto name = split_name(member.name);
    if (!name) return pass_over(member);
    Part part{std::move(name->second), std::move(member), std::nullopt};
    part.kind = kind_of_member(part.extension, part.member, file_);
    sample_of(name->first, part).parts.push_back(std::move(part));
  }

  /// Counts a member that belongs to no sample.
  void pass_over(const TarMember& member) {
    if (const auto left = left_by_tools_in(member.name))
      sink_.passed_over(*left, kLeftByTools);
    else if (is_metadata(member.name))
      sink_.passed_over("files such as __x__", "are metadata of webdataset");
    else if (member.kind != TarKind::kFile && member.kind != TarKind::kSparse)
      sink_.passed_over("links, pipes and devices", "are no files of the archive");
    else
      sink_.passed_over(kind_label(member.name),
                        "have names without a key and a dot, so they belong to no sample");
  }

  /// The sample that a part joins; null where it begins one. Parts of a sample lie together, except
  /// where the archive was written from several processes or an unsorted list: such a part joins its
  /// sample. A second part of one name, or a second image, begins another sample.
  Sample* joined_by(const std::string& key, const Part& part) {
    if (!samples_.empty() && samples_.back().key == key &&
        samples_.back().parts.back().member.archive == part.member.archive)
      return &samples_.back();
    const auto known = newest_.find(key);
    if (known == newest_.end()) return nullptr;
    Sample& sample = samples_[known->second];
    const bool complete = std::ranges::any_of(sample.parts, [&](const Part& other) {
      return other.extension == part.extension || (other.kind && part.kind);
    });
    return complete ? nullptr : &sample;
  }

  Sample& sample_of(const std::string& key, const Part& part) {
    if (Sample* sample = joined_by(key, part)) {
      if (sample != &samples_.back())
        sink_.passed_over("parts in " + path_,
                          "are not adjacent to their sample and are joined to it");
      return *sample;
    }
    const auto [newest, is_new] = newest_.try_emplace(key, samples_.size());
    const int again = is_new ? 0 : samples_[newest->second].again + 1;
    newest->second = samples_.size();
    if (!is_new)
      sink_.passed_over("keys that are there again in " + path_,
                        "give items of their own, whose ids have the name of the archive");
    return samples_.emplace_back(Sample{key, {}, again});
  }

  /// Adds the items of all samples but the damaged one; null: of all.
  bool emit_all(const Sample* damaged = nullptr) {
    for (const Sample& sample : samples_)
      if (&sample != damaged && !emit(sample)) return false;
    return true;
  }

  /// A plain archive of images whose names hold dots becomes few samples of many images.
  void note_several(const Sample& sample, std::size_t images) {
    if (several_.empty())
      several_ = fmt::format("samples of several images, such as \"{}\" of {}, in {}", sample.key,
                             images, path_);
    sink_.passed_over(several_, "get one caption each: a name up to its first dot names a sample");
  }

  /// Adds the item of a sample.
  bool emit(const Sample& sample) {
    Item item = item_of(sample);
    if (item.error) return sink_.add(std::move(item));
    if (item.media.size() > 1 && item.messages.empty()) note_several(sample, item.media.size());
    const bool asks = !item.media.empty() || !item.messages.empty() || item.prompt;
    for (const Part& part : sample.parts) note_unread(part, item, asks);
    return !asks || sink_.add(std::move(item));
  }

  /// Counts a part that its sample's item does not read.
  void note_unread(const Part& part, const Item& item, bool asks) {
    const auto is_shown = [&](const MediaReference& media) {
      return std::ranges::any_of(media.files, [&](const MediaFile& file) {
        return file.member == part.member.name && file.offset == part.member.offset;
      });
    };
    if ((part.asks() && asks) || (part.kind && item.messages.empty()) ||
        std::ranges::any_of(item.media, is_shown))
      return;
    std::string_view why = "is no image, video, prompt or json of a sample";
    if (part.kind) why = "is not named by the messages of its sample";
    if (part.asks()) why = "is alone: its sample shows nothing and asks nothing";
    if (part.extension == "txt") why = "is by convention a caption that is there already";
    sink_.passed_over(kind_label("key." + part.extension), why);
  }

  bool end_in_damage(const TarReader& reader, const DataError& damage) {
    const DataError error{damage.stage, id_of_path(fmt::format("{}: {}", path_, damage.message))};
    const auto cut = split_name(reader.cut_member());
    Part part;
    if (cut) part.extension = cut->second;
    part.member.archive = reader.archive();
    part.kind = kind_of_member(part.extension, part.member, file_);
    // A sample with a damaged member must not run without that member.
    if (!emit_all(cut ? joined_by(cut->first, part) : nullptr)) return false;
    Item item;
    item.source = id_of_path(fmt::format("{}:{}", path_, cut ? cut->first : "damage"));
    item.id = cut ? id_of_path(cut->first) : item.source;
    item.qualified_id = item.source;
    item.error = error;
    return sink_.add(std::move(item));
  }

  Item item_of(const Sample& sample) {
    Item item;
    item.id = id_of_path(sample.key);
    item.source = id_of_path(fmt::format("{}:{}", path_, sample.key));
    item.qualified_id =
        sample.again < 2 ? item.source : fmt::format("{}#{}", item.source, sample.again + 1);
    if (auto error = fill(sample, item)) {
      item.error = DataError{error->stage, id_of_path(error->message)};
      item.media.clear();
    }
    return item;
  }

  /// A part that the item cannot do without, and that cannot be had.
  static std::optional<DataError> find_problem(const Sample& sample) {
    std::unordered_map<std::string_view, int> counts;
    for (const Part& part : sample.parts) ++counts[part.extension];
    for (const Part& part : sample.parts)
      if (counts[part.extension] > 1)
        return bad(fmt::format("two members are \"{}.{}\"", sample.key, part.extension));
    if (counts.contains("prompt") && counts.contains("prompt.txt"))
      return bad("two members are its prompt: a .prompt and a .prompt.txt");
    for (const Part& part : sample.parts)
      if (const std::string problem = problem_of(part.member);
          !problem.empty() && (part.kind || part.asks()))
        return bad(fmt::format("{} {}", part.member.name, problem));
    return std::nullopt;
  }

  std::optional<DataError> fill(const Sample& sample, Item& item) {
    if (auto problem = find_problem(sample)) return problem;
    const Part *json = nullptr, *prompt = nullptr;
    for (const Part& part : sample.parts) {
      if (part.extension == "json") json = &part;
      if (part.is_prompt()) prompt = &part;
      if (part.kind) item.media.push_back({*part.kind, {media_file(part)}, 0.0});
    }
    if (prompt != nullptr) {
      auto text = text_of(prompt->member, file_);
      if (!text.ok()) return text.error();
      item.prompt = std::move(*text);
      while (item.prompt->ends_with('\n') || item.prompt->ends_with('\r')) item.prompt->pop_back();
    }
    return json == nullptr ? std::nullopt : read_json(sample, *json, item);
  }

  std::optional<DataError> read_json(const Sample& sample, const Part& part, Item& item) {
    const auto text = text_of(part.member, file_);
    if (!text.ok()) return text.error();
    const auto parsed = detail::parse_json_line(text.value());
    if (!parsed.ok()) return bad(fmt::format("{}: {}", part.member.name, parsed.error().message));
    const Json& json = parsed.value();
    if (!json.is_object()) return bad(fmt::format("{}: is no JSON object", part.member.name));
    const bool asked = item.prompt.has_value();
    if (asked && detail::has_value(json, "prompt"))
      return bad(fmt::format("{}: has a prompt, and so has another member", part.member.name));
    if (auto error = detail::read_id_and_prompt(json, item)) return error;
    const bool unasked = !item.prompt;
    if (auto error = detail::read_system_and_question(json, item)) return error;
    item.prompt_is_data = !asked;
    item.system_is_data = true;
    if (auto error = check_slips(part, json, item)) return error;
    note_keys(json, unasked && item.prompt, !item.prompt);
    if (!detail::has_value(json, "messages"))
      return detail::has_value(json, "conversations") && !item.prompt
                 ? detail::take_conversations(json["conversations"], item, sink_)
                 : std::nullopt;
    if (item.prompt) return bad("messages stand alone: no prompt beside them");
    if (item.system) return bad("messages stand alone: write system as the first of them");
    auto conversation = parse_messages(json["messages"], "");
    if (!conversation.ok()) return conversation.error();
    for (MediaReference& media : conversation->media)
      for (MediaFile& file : media.files) {
        if (file.path.starts_with("data:")) continue;
        const Part* shown = find(sample, file.path);
        if (shown == nullptr)
          return bad(fmt::format("{}: names {}, which is no member of the sample", part.member.name,
                                 file.path));
        if (const std::string problem = problem_of(shown->member); !problem.empty())
          return bad(fmt::format("{} {}", shown->member.name, problem));
        file = media_file(*shown);
      }
    item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
    item.media = std::move(conversation->media);
    return std::nullopt;
  }

  /// Finds a key that may be a slip of one that asks, where nothing else does.
  [[nodiscard]] std::optional<DataError> check_slips(const Part& part, const Json& json,
                                                     const Item& item) const {
    constexpr std::array<std::string_view, 4> kAsking = {"prompt", "messages", "conversations",
                                                         "question"};
    const auto there = [&](std::string_view name) { return json.contains(name); };
    if (prompt_given_ || item.prompt || std::ranges::any_of(kAsking, there)) return std::nullopt;
    for (const auto& [key, value] : json.items())
      if (const auto own = detail::near_name(key, kAsking, there);
          !own.empty() && detail::has_value(json, key))
        return bad(
            fmt::format("{}: {} is not read, and may mean \"{}\". Correct or rename it, or give "
                        "--prompt.",
                        part.member.name, key, own));
    return std::nullopt;
  }

  /// Counts the keys of a sample's json that are not read.
  ///   question, conversations  whether they are read, where they are there
  void note_keys(const Json& json, bool question, bool conversations) {
    conversations = conversations && !detail::has_value(json, "messages");
    for (const auto& [key, value] : json.items()) {
      if (key == "id" || key == "prompt" || key == "messages" || key == "system") continue;
      if ((key == "question" && question) || (key == "conversations" && conversations)) continue;
      sink_.passed_over(fmt::format("key \"{}\"", key.substr(0, kLongestKey)),
                        "is not read in the json of a sample");
    }
  }

  static const Part* find(const Sample& sample, const std::string& name) {
    for (const Part& part : sample.parts) {
      const std::string& whole = part.member.name;
      if (name == whole || name == part.extension || name == whole.substr(whole.rfind('/') + 1))
        return &part;
    }
    return nullptr;
  }

  [[nodiscard]] MediaFile media_file(const Part& part) const {
    MediaFile file(path_);
    file.place = MediaPlace::kRange;
    file.member = part.member.name;
    file.offset = part.member.offset;
    file.bytes = part.member.bytes;
    return file;
  }

  const std::string& path_;
  bool prompt_given_;
  ArchiveFile file_;
  ItemSink& sink_;
  std::string several_;                                  ///< as note_several counts them
  std::vector<Sample> samples_;                          ///< in the order of their first parts
  std::unordered_map<std::string, std::size_t> newest_;  ///< the last sample of a key
};

}  // namespace

bool read_webdataset(const std::string& path, bool prompt_given, ItemSink& sink) {
  return Archive(path, prompt_given, sink).list();
}

}  // namespace retinue::runtime
