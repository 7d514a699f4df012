#pragma once
// Tested through tests/launcher/options_test.cpp.

#include "parallel/base/named.h"
#include "runtime/jobs/options.h"

#include <array>
#include <optional>

namespace retinue::runtime {

// The names that values of options have in --help, in a file of --config and in job.json, in the
// order of --help.
inline constexpr auto kWeightsReadNames = std::to_array<Named<WeightsRead>>(
    {{"auto", WeightsRead::kAuto}, {"once", WeightsRead::kOnce}, {"each", WeightsRead::kEach}});
inline constexpr auto kDeviceNames = std::to_array<Named<std::optional<DeviceType>>>(
    {{"auto", std::nullopt}, {"cpu", DeviceType::kCpu}, {"cuda", DeviceType::kCuda}});
inline constexpr auto kDtypeNames = std::to_array<Named<std::optional<DType>>>(
    {{"auto", std::nullopt}, {"bfloat16", DType::kBF16}, {"float32", DType::kF32}});
inline constexpr auto kKvCacheDtypeNames =
    std::to_array<Named<std::optional<DType>>>({{"auto", std::nullopt}, {"fp8", DType::kF8E4M3}});
inline constexpr auto kReduceNames =
    std::to_array<Named<Reduce>>({{"ordered", Reduce::kOrdered}, {"nccl", Reduce::kLibrary}});
inline constexpr auto kLeavesNames =
    std::to_array<Named<int>>({{"8", 8}, {"4", 4}, {"2", 2}, {"1", 1}});
inline constexpr auto kRowParallelKernelNames =
    std::to_array<Named<bool>>({{"cublaslt", false}, {"wgmma", true}});
inline constexpr auto kAlphaNames =
    std::to_array<Named<Alpha>>({{"white", Alpha::kWhite}, {"drop", Alpha::kDrop}});
inline constexpr auto kExifNames = std::to_array<Named<ExifOrientation>>(
    {{"apply", ExifOrientation::kApply}, {"ignore", ExifOrientation::kIgnore}});
inline constexpr auto kVideoPromptNames = std::to_array<Named<VideoPrompt>>(
    {{"inner", VideoPrompt::kInner}, {"outer", VideoPrompt::kOuter}});
inline constexpr auto kSamplingNames =
    std::to_array<Named<SamplingDefaults>>({{"model", SamplingDefaults::kModel}});
/// An empty name: read from the content.
inline constexpr auto kInputFormatNames =
    std::to_array<Named<std::optional<InputFormat>>>({{"image", InputFormat::kImage},
                                                      {"video", InputFormat::kVideo},
                                                      {"folder", InputFormat::kFolder},
                                                      {"glob", InputFormat::kGlob},
                                                      {"jsonl", InputFormat::kManifest},
                                                      {"openai", InputFormat::kOpenAiBatch},
                                                      {"webdataset", InputFormat::kWebDataset},
                                                      {"tar", InputFormat::kTar},
                                                      {"parquet", InputFormat::kParquet},
                                                      {"", std::nullopt}});
inline constexpr auto kOutputFormatNames =
    std::to_array<Named<OutputFormat>>({{"jsonl", OutputFormat::kJsonl},
                                        {"webdataset", OutputFormat::kWebDataset},
                                        {"parquet", OutputFormat::kParquet}});
inline constexpr auto kAblationNames =
    std::to_array<Named<AblationKind>>({{"none", AblationKind::kNone},
                                        {"null-collectives", AblationKind::kNullCollectives},
                                        {"preloaded-pixels", AblationKind::kPreloadedPixels},
                                        {"text-only", AblationKind::kTextOnly}});

}  // namespace retinue::runtime
