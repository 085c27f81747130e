#pragma once

#include <functional>
#include <vector>

#include "base/clock.h"
#include "events/prediction_event.h"
#include "intake/log_source.h"
#include "intake/source_view.h"

namespace leadsman {
class Redactor;
}

namespace leadsman::intake {

/// Reads all files of `sources` from their beginnings to where they end now, archives too, and gives the predictions that they
/// tell of to `sink`. A file that cannot be read has an empty format and the reason in its view; a source without files has none.
/// What is told of paths and lines goes through `redactor`, when there is one. Blocks for as long as it takes.
std::vector<SourceView> ReadOnce(const std::vector<LogSource>& sources, const Clock& clock,
                                 Sink& sink, const Redactor* redactor = nullptr);

}  // namespace leadsman::intake
