#include "launcher/children.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>

namespace retinue::launcher {

std::vector<Child> children_of(pid_t process) {
  std::vector<Child> children;
  std::error_code error;
  for (auto task =
           std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process), error);
       !error && task != std::filesystem::directory_iterator(); task.increment(error)) {
    std::ifstream list(task->path() / "children");
    for (pid_t child = 0; list >> child;) {
      std::ifstream file(fmt::format("/proc/{}/stat", child));
      const std::string facts{std::istreambuf_iterator<char>(file), {}};
      // "number (name) state …", and a name may hold anything
      const auto name_end = facts.rfind(')');
      children.push_back({child, name_end == facts.npos || name_end + 2 >= facts.size() ||
                                     facts[name_end + 2] == 'Z'});
    }
  }
  return children;
}

std::string rank_of_process(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/environ", process), std::ios::binary);
  for (std::string entry; std::getline(file, entry, '\0');)
    for (const std::string_view name : {"OMPI_COMM_WORLD_RANK=", "PMIX_RANK="})
      if (entry.starts_with(name)) return entry.substr(name.size());
  return "";
}

void FirstToEnd::look(const std::vector<Child>& children) {
  for (const Child& child : children) {
    if (child.dead || ranks_.contains(child.process)) continue;
    const std::string rank = rank_of_(child.process);
    if (rank.empty()) {
      others_.insert(child.process);
    } else {
      others_.erase(child.process);
      ranks_[child.process] = rank;
    }
  }
  // A child that is no rank counts even after its end: that may be what the other ranks follow.
  if (!others_.empty() || !first_.empty()) return;
  for (const auto& [process, rank] : ranks_)
    if (std::ranges::none_of(
            children, [&](const Child& child) { return child.process == process && !child.dead; }))
      first_.push_back(fmt::format("rank {} (process {})", rank, process));
}

}  // namespace retinue::launcher
