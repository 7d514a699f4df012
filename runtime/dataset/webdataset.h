#pragma once

#include "runtime/dataset/item.h"

#include <string>

namespace retinue::runtime {

/// Lists a tar archive as webdataset reads it: members with the same key are one sample, in the
/// archive's order. The key is the name up to the first dot behind the last slash; the rest is the
/// extension, in upper or lower case:
///   image, video  by the last part of the extension (file_kind.h), else by content; shown in member
///                 order. One that cannot be read fails its sample
///   prompt        (or prompt.txt) the prompt
///   json          "id", "prompt" or "question", "system", "messages" and "conversations" as in a
///                 manifest; other keys are counted, and a slip of one that asks (promt) fails its
///                 sample where nothing asks. Messages name an image or video by member, by its
///                 file name or by its extension
/// A link is the file of the archive that it names (tar_links.h); an image, video, prompt or json
/// that is a link to none, a pipe or a device fails its sample. Other members are counted as passed
/// over: a txt is by convention an existing caption. So are names without a dot, metadata (__x__), what
/// systems leave (left_by_tools.h), and samples without any of the members above. An image whose name
/// starts with a dot is a sample, unlike in webdataset.
/// The id is that of the json, else the key, with \xHH for bytes that are no UTF-8; where another
/// sample has the key already, "archive.tar:key", and "archive.tar:key#3" for the third in one archive.
/// A damaged archive gives the samples before the damage, then one failed item that names it.
///   prompt_given  the job has a prompt of its own
///   returns       false when `sink` wants no more
/// Throws: UsageError when `path` cannot be read.
bool read_webdataset(const std::string& path, bool prompt_given, ItemSink& sink);

}  // namespace retinue::runtime
