#include "runtime/formats/tar_links.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace retinue::runtime {
namespace {

/// Linux has no longer path. The steps of a link are bounded, because archives are foreign.
constexpr std::size_t kLongestPath = 4096;
constexpr int kMostSteps = 4096, kMostLinks = 40;

bool is_link(const TarMember& member) {
  return member.kind == TarKind::kHardLink || member.kind == TarKind::kSymbolicLink;
}

void go_up(std::string& path) {
  const auto slash = path.rfind('/');
  path.resize(slash == std::string::npos ? 0 : slash);
}

/// Takes the first part of a path: "a" of "a//b/c".
std::string_view take_part(std::string_view& path) {
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  const std::string_view part = path.substr(0, path.find('/'));
  path.remove_prefix(part.size());
  return part;
}

/// The name without ".", ".." and double slashes.
std::string plain_name(std::string_view name) {
  std::string plain;
  while (!name.empty()) {
    const std::string_view part = take_part(name);
    if (part == "..")
      go_up(plain);
    else if (!part.empty() && part != ".")
      plain.append(plain.empty() ? "" : "/").append(part);
  }
  return plain;
}

class Links {
 public:
  explicit Links(const std::vector<TarMember>& members) : members_(members) {
    for (std::size_t i = 0; i < members.size(); ++i)
      if (members[i].name.size() <= kLongestPath)
        of_name_[plain_name(members[i].name)].push_back(i);
  }

  /// The member before this one that has the same name.
  [[nodiscard]] std::optional<std::size_t> before(std::size_t member) const {
    const auto found = of_name_.find(plain_name(members_[member].name));
    if (found == of_name_.end() || found->second.front() >= member) return std::nullopt;
    return *std::prev(std::ranges::lower_bound(found->second, member));
  }

  /// The file that a link means.
  [[nodiscard]] std::optional<std::size_t> file_of(std::size_t link) const {
    std::string path, left;
    int steps = 0;
    for (int links = 0; links < kMostLinks; ++links) {
      if (!enter(members_[link], path, left)) return std::nullopt;
      std::size_t met = kNone;
      for (std::string_view rest = left; met == kNone;) {
        if (++steps > kMostSteps) return std::nullopt;
        const std::string_view part = take_part(rest);
        if (part.empty()) return std::nullopt;                  // a folder, or nothing
        if (part == ".." && path.empty()) return std::nullopt;  // above the archive
        if (part == "..") go_up(path);
        if (part == "." || part == "..") continue;
        path.append(path.empty() ? "" : "/").append(part);
        met = find(path, link);
        if (met != kNone) left = std::string(rest);
      }
      if (!is_link(members_[met])) {
        const bool whole = left.find_first_not_of('/') == std::string::npos;
        return whole && members_[met].kind == TarKind::kFile ? std::optional(met) : std::nullopt;
      }
      link = met;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  /// Sets out from a link: `path` becomes the folder where its target begins, and the target goes
  /// before what is `left` of the path.
  static bool enter(const TarMember& link, std::string& path, std::string& left) {
    if (link.target.size() + left.size() > kLongestPath || link.name.size() > kLongestPath)
      return false;
    path = plain_name(link.name);
    go_up(path);
    if (link.kind == TarKind::kHardLink || link.target.starts_with('/')) path.clear();
    left = link.target + left;
    return true;
  }

  /// The member of this name that a link means.
  [[nodiscard]] std::size_t find(const std::string& name, std::size_t link) const {
    const auto found = of_name_.find(name);
    if (found == of_name_.end()) return kNone;
    const std::vector<std::size_t>& same = found->second;
    const TarMember& from = members_[link];
    const bool hard = from.kind == TarKind::kHardLink;
    const auto end = std::ranges::partition_point(same, [&](std::size_t at) {
      return hard ? at < link : members_[at].archive <= from.archive;
    });
    if (end != same.begin() && (hard || members_[*std::prev(end)].archive == from.archive))
      return *std::prev(end);
    return same.back() == link ? kNone : same.back();
  }

  const std::vector<TarMember>& members_;
  std::unordered_map<std::string, std::vector<std::size_t>> of_name_;  ///< in their order
};

}  // namespace

std::size_t follow_links(std::vector<TarMember>& members) {
  if (std::ranges::none_of(members, is_link)) return 0;
  std::vector<std::optional<std::size_t>> files(members.size());
  const Links links(members);
  for (std::size_t i = 0; i < members.size(); ++i)
    if (is_link(members[i])) files[i] = links.file_of(i);
  std::vector<bool> again(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!files[i]) continue;
    TarMember& link = members[i];
    const TarMember& file = members[*files[i]];
    link.kind = TarKind::kFile;
    link.offset = file.offset;
    link.bytes = file.bytes;
    const auto before = links.before(i);
    again[i] = plain_name(link.name) == plain_name(file.name) ||
               (before && members[*before].kind == TarKind::kFile &&
                members[*before].offset == link.offset);
  }
  std::size_t at = 0;
  return std::erase_if(members, [&](const TarMember&) { return again[at++]; });
}

}  // namespace retinue::runtime
