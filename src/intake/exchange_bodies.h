#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "events/exchange.h"
#include "intake/log_format.h"
#include "intake/log_record.h"
#include "intake/payload.h"
#include "intake/plain_body.h"

namespace leadsman::intake {

/// Where inputs and predictions stand in the JSON of a service of one's own, by the names that logs are mapped with
/// (docs/log-files.md). Confined to one thread.
class BodyMapping {
 public:
  using Fields = std::map<std::string, std::string>;  ///< name → where it stands

  enum class Side { kRequest, kResponse };

  /// INVALID_ARGUMENT for a name that there is not, or that this side does not say, with the names that it can.
  static Result<BodyMapping> Create(const Fields& request, const Fields& response);
  /// What is wrong with one side's fields.
  static Status Check(const Fields& fields, Side side);
  /// The segmentations that fields are mapped to.
  static std::vector<std::string> SegmentNames(const Fields& fields);

  /// Null: that side is not mapped, and read by what it looks like.
  LineParser* request() const { return request_.get(); }
  LineParser* response() const { return response_.get(); }

 private:
  std::unique_ptr<LineParser> request_, response_;
};

/// Reads inputs and predictions out of the two bodies of an exchange, compressed or not. What it puts into a record is valid until
/// the next call for the same side, and while the body is. Confined to one thread; keeps its buffers.
class ExchangeBodies {
 public:
  /// `max_body`: of a body that was compressed.
  explicit ExchangeBodies(size_t max_body)
      : request_(max_body, PlainBody::Side::kRequest),
        response_(max_body, PlainBody::Side::kResponse) {}

  /// `mapped`: its fields alone are taken, and what else the record says stays. A call's messages are no JSON: they are read by their
  /// fields, and say the request's id if nobody else has.
  void ReadRequest(const HttpBody& body, BodyCounters& counters, LogRecord& record,
                   LineParser* mapped = nullptr);
  void ReadResponse(const HttpBody& body, BodyCounters& counters, LogRecord& record,
                    LineParser* mapped = nullptr);

 private:
  static bool ReadMapped(std::string_view plain, LineParser& parser, LogRecord& mapped);

  PayloadReader payload_;
  PlainBody request_, response_;
  LogRecord mapped_;
};

}  // namespace leadsman::intake
