#pragma once

#include "runtime/dataset/item.h"

#include <string>

namespace retinue::runtime {

/// Lists a tar archive as webdataset reads it: neighbouring members with the same key are one
/// sample, in the archive's order. The key is the name up to the first dot behind the last slash;
/// the rest is the extension, in upper or lower case:
///   image, video  by the last part of the extension, else by content; shown in member order
///   prompt        (or prompt.txt) the prompt
///   json          "prompt", "messages" and "id" as in a manifest; other keys are ignored. Messages
///                 name an image or video by member, by its file name or by its extension
/// Other members are ignored: a txt is by convention an existing caption. So are names without a
/// dot or starting with one, and metadata (__x__). A sample without any of the members above is no
/// item. The id is that of the json, else the key; where another archive has the key already,
/// "archive.tar:key". A damaged archive gives the samples before the damage, then one failed item
/// that names it.
///   returns  false when `sink` wants no more
/// Throws: UsageError when `path` cannot be read.
bool read_webdataset(const std::string& path, ItemSink& sink);

}  // namespace retinue::runtime
