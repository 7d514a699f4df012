#include "runtime/jobs/caption/open.h"

#include "parallel/base/build_config.h"
#include "runtime/dataset/item_table_builder.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/replica.h"
#include "runtime/output/journal.h"
#include "runtime/output/record.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// The part of job.json that is for people, beside the job signature.
Json about(const CaptionJob& job) {
  const layers::Numerics numerics = numerics_of(job.model);
  Json json;
  json["schema_version"] = 1;
  json["version"] = build::kVersion;
  json["model_folder"] = job.options.run.model;
  json["input"] = job.options.input;
  json["numerics"] = {{"description", numerics.description}, {"fingerprint", numerics.fingerprint}};
  return json;
}

/// "SIGSEGV on rank 2 in run 3, SIGABRT on rank 0 in run 4"
std::string shown(const std::vector<CrashReport>& crashes) {
  std::string text;
  for (const CrashReport& crash : crashes)
    text += fmt::format("{}{} on rank {} in run {}", text.empty() ? "" : ", ", crash.reason,
                        crash.rank, crash.epoch);
  return text;
}

/// An item with too many crashes gets a failure and does not run again; items that may be the cause
/// of one are noted.
void apply_crashes(const Session& session, const CrashAttribution& crash_attribution,
                   CaptionJob& job) {
  const auto is_open = [&](std::int64_t index) {
    return index < static_cast<std::int64_t>(job.open.size()) &&
           job.open[static_cast<std::size_t>(index)] != 0;
  };
  std::unique_ptr<SegmentWriter> journal;
  for (const auto& [index, crashes] : crash_attribution.by_item()) {
    if (!is_open(index)) {
      job.quarantined += crashes.size() >= CrashAttribution::kMaxCrashes ? 1 : 0;
      continue;
    }
    const Item item = job.items.item(static_cast<std::size_t>(index));
    if (crashes.size() < CrashAttribution::kMaxCrashes) {
      job.attributed_items.insert(index);
      session.log.warning(
          fmt::format("[crash] {}: {}; it runs once more, alone", item.id, shown(crashes)));
      continue;
    }
    if (journal == nullptr)
      journal = std::make_unique<SegmentWriter>(segment_path(job.options.output, 0, job.epoch), 0);
    const std::string message = fmt::format(
        "the process died of it {} times: {}. It is not run again without "
        "--retry-failed.",
        crashes.size(), shown(crashes));
    journal->append(EntryType::kFail, index,
                    to_json(FailureRecord{item.id, item.source, "quarantine", message}));
    session.log.warning(fmt::format("[quarantine] {}: {}", item.id, message));
    job.open[static_cast<std::size_t>(index)] = 0;
    ++job.failed_before;
    ++job.quarantined;
  }
  if (journal != nullptr) journal->close();
  for (const std::int64_t index : crash_attribution.suspects())
    if (is_open(index) && !job.attributed_items.contains(index)) job.suspect_items.insert(index);
  if (!job.suspect_items.empty())
    session.log.warning(fmt::format(
        "[crash] a rank crashed with {} items in flight: they run first, at most half of "
        "them at a time",
        job.suspect_items.size()));
}

/// Finds the items that this run has to do, and counts those that earlier runs did.
void find_open(const Journal& journal, CaptionJob& job) {
  job.open.resize(job.items.size());
  for (std::size_t i = 0; i < job.items.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    const bool failed = journal.failed(index) && !job.options.retry_failed;
    job.open[i] = !journal.done(index) && !failed ? 1 : 0;
    job.done_before += journal.done(index) ? 1 : 0;
    job.failed_before += failed ? 1 : 0;
  }
}

/// Throws: UsageError where the journal's own starts name another model than job.json.
void refuse_other_model(const Journal& journal, const CaptionJob& job) {
  for (const std::string& start : journal.starts()) {
    const Json json = Json::parse(start, nullptr, false);
    if (json.is_object() && json.value("model", job.model.identity) != job.model.identity)
      throw UsageError(fmt::format(
          "[--output] {}: the journal has answers of another model than job.json names. "
          "Put the right job.json back, or choose another folder.",
          job.options.output));
  }
}

void warn_of_other_numerics(const Session& session, const Journal& journal, const CaptionJob& job) {
  const std::string fingerprint = numerics_of(job.model).fingerprint;
  for (const std::string& start : journal.starts())
    if (Json::parse(start, nullptr, false).value("fingerprint", fingerprint) != fingerprint) {
      session.log.warning(
          "[journal] an earlier run had another numerics fingerprint: its records may differ in "
          "their last bits from this run's");
      return;
    }
}

}  // namespace

std::unique_ptr<JobFolder> open_job(const Session& session, CaptionJob& job) {
  auto folder = std::make_unique<JobFolder>(job.options.output);
  ItemTableBuilder builder(job.options.output, source_options(job.options), std::cin);
  job.items = builder.items();
  if (!job.items.passed_over().empty())
    session.log.warning("[input] noted: " + describe(job.items.passed_over()));
  const std::string completed =
      folder->bind(signature_of(job), about(job), folder->has_job() ? builder.difference() : "");
  if (!completed.empty())
    session.log.warning(fmt::format(
        "[journal] an earlier version began this job without {}: whether its records come from "
        "these files cannot be compared. From now on job.json has it",
        completed));
  builder.publish();
  const Journal journal(folder->path(), static_cast<std::int64_t>(job.items.size()));
  refuse_other_model(journal, job);
  job.epoch = journal.next_epoch();
  find_open(journal, job);
  apply_crashes(session, journal.crash_attribution(), job);
  job.open_count = std::ranges::count(job.open, 1);
  if (journal.damaged_lines() > 0)
    session.log.warning(
        fmt::format("[journal] {} torn or damaged lines are left out; their items "
                    "run again",
                    journal.damaged_lines()));
  warn_of_other_numerics(session, journal, job);
  return folder;
}

void share_job(Communicator& world, CaptionJob& job) {
  // Rank 0 has made the table durable before this broadcast.
  job.items = ItemTable(table_folder(job.options.output));
  broadcast_value(world, job.open_count);
  broadcast_value(world, job.done_before);
  broadcast_value(world, job.failed_before);
  broadcast_value(world, job.epoch);
  for (std::set<std::int64_t>* set : {&job.attributed_items, &job.suspect_items}) {
    std::vector<std::int64_t> packed_set(set->begin(), set->end());
    broadcast_container(world, packed_set);
    set->insert(packed_set.begin(), packed_set.end());
  }
}

}  // namespace retinue::runtime
