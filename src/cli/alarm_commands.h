#pragma once

#include <cstdint>
#include <string>

#include "cli/commands.h"

namespace leadsman::cli {

/// `check`: the exit code says whether something fires that is not silenced.
int ListAlarms(ClientContext& c, const std::string& model, bool check);
int ShowAlarm(ClientContext& c, const std::string& id);

struct SilenceOptions {
  std::string kind, model, of;
  int64_t version = 0;
  std::string time;  ///< "2h"
  std::string author, comment;
};
int AddSilence(ClientContext& c, const SilenceOptions& options);
int ListSilences(ClientContext& c);
int RemoveSilence(ClientContext& c, const std::string& id);

}  // namespace leadsman::cli
