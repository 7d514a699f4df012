#include "runtime/doctor/judgement.h"

#include <fmt/format.h>

#include <string>

namespace retinue::runtime::doctor {
namespace {

void program(Judgement& j) {
  const auto shortened = [](const std::string& hash) {
    return hash.empty() ? std::string("no readable file") : "sha256 " + hash.substr(0, 12);
  };
  j.agreement(
      "binary", [](const RankFacts& one) { return one.binary_sha256; }, Verdict::kBroken,
      "All ranks need the same executable: copy it again, or put it where all hosts see it.",
      shortened);
  j.agreement(
      "version",
      [](const RankFacts& one) {
        return fmt::format("{} ({}; {})", one.version, one.revision, one.build);
      },
      Verdict::kBroken, "Install the same build on all hosts.",
      [](std::string text) { return text; });
}

void kernels(Judgement& j) {
  j.agreement(
      "kernels",
      [](const RankFacts& one) { return fmt::format("{} {}", one.kernels, one.numerics); },
      Verdict::kBroken,
      "Captions would depend on the rank that makes them. Use hosts with one kind of processor "
      "or GPU, or one job per kind.",
      [](const std::string& text) {
        return fmt::format("{} (numerics {})", text.substr(0, text.find(' ')),
                           text.substr(text.find(' ') + 1));
      });
}

void model(Judgement& j) {
  if (j.facts.ranks[0].model.empty()) return;
  const auto unusable = j.which([](const RankFacts& one) { return !one.model_error.empty(); });
  if (!unusable.empty()) {
    const std::string& error = j.of(unusable[0]).model_error;
    const bool folder = !error.starts_with("[--") || error.starts_with("[--model]");
    return j.add("model", Verdict::kBroken, fmt::format("{}: {}", j.named(unusable), error),
                 folder ? "Copy the model folder again, or correct --model."
                        : "Correct that option; the model folder is not the cause.",
                 unusable);
  }
  j.agreement(
      "model",
      [](const RankFacts& one) {
        return fmt::format("{} {}", one.model_identity, one.weights_bytes);
      },
      Verdict::kBroken,
      "The folders hold different models. Copy one of them to all hosts, or put it where all see "
      "it.",
      [](const std::string& text) {
        const double bytes = std::stod(text.substr(text.find(' ') + 1));
        return fmt::format("{}{}", text.substr(0, 12),
                           bytes < 0 ? "" : ", weights " + bytes_text(bytes));
      });
}

}  // namespace

void judge_ranks(Judgement& j) {
  const std::string mesh =
      fmt::format("{} on {} host(s), {} replica(s) of {}", j.facts.size, j.hosts().size(),
                  j.facts.size / j.facts.tensor, j.facts.tensor);
  if (j.facts.silent.empty()) return j.add("ranks", Verdict::kOk, mesh);
  j.add("ranks", Verdict::kBroken,
        fmt::format("{} did not answer within {:.0f} s", j.named(j.facts.silent),
                    j.facts.answer_deadline_s),
        "A file system, a GPU or the machine hangs there. Look at it by hand (ls of the model "
        "folder, df, nvidia-smi), or give a longer --answer-deadline-s.",
        j.facts.silent);
}

void judge_program(Judgement& j) {
  program(j);
  kernels(j);
  model(j);
}

}  // namespace retinue::runtime::doctor
