#pragma once

#include <string>

#include "intake/line_reader.h"

namespace leadsman::intake {

/// "POST /predict status=200 latency=3ms …": what the record says, and nothing of what it does not.
std::string Describe(const LogRecord& record);
std::string Describe(const ErrorEvent& event);

/// Keeps descriptions, one a line.
class DescribingSink final : public RecordSink {
 public:
  void OnRequest(const LogRecord& record) override { text_ += Describe(record) + '\n'; }
  void OnError(const ErrorEvent& event) override { text_ += Describe(event) + '\n'; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace leadsman::intake
