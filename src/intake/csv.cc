// Capture files: a header line, then a row for each prediction, as pandas' to_csv and csv modules write them.
#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <memory>
#include <optional>
#include <set>

#include "base/strings.h"
#include "events/missing_text.h"
#include "intake/capture_names.h"
#include "intake/csv_record.h"
#include "intake/find_byte.h"
#include "intake/format_note.h"
#include "intake/log_format.h"
#include "intake/short_decimal.h"

namespace leadsman::intake {
namespace {

constexpr std::array<char, 3> kDelimiters = {',', ';', '\t'};
constexpr size_t kMaxColumns = 8192;
constexpr size_t kMaxFeatures = 4096;
constexpr size_t kMaxName = 128;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::string_view DelimiterName(char delimiter) {
  return delimiter == ',' ? "comma" : delimiter == ';' ? "semicolon" : "tab";
}

/// A number, or true or false; NaN for what is none. With semicolons between fields a comma may stand before decimals.
float NumberOf(std::string_view text, char delimiter) {
  text = Trim(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  float value = 0;
  auto [p, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && p == text.data() + text.size()) return value;
  if (EqualsIgnoreCase(text, "true")) return 1;
  if (EqualsIgnoreCase(text, "false")) return 0;
  if (delimiter != ';' || text.size() > 40) return kNaN;
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos || text.find('.') != std::string_view::npos) return kNaN;
  std::string pointed(text);
  pointed[comma] = '.';
  auto [q, wrong] = std::from_chars(pointed.data(), pointed.data() + pointed.size(), value);
  return wrong == std::errc() && q == pointed.data() + pointed.size() ? value : kNaN;
}

/// "[0.1, 0.9]", and "[0.1 0.9]" as numpy prints it. False when it is no list of numbers.
bool NumbersOf(std::string_view text, std::vector<float>& numbers, bool& cut) {
  numbers.clear();
  text = Trim(text);
  while (text.size() >= 2 && text.front() == '[' && text.back() == ']')
    text = Trim(text.substr(1, text.size() - 2));
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    if (*at == ' ' || *at == ',' || *at == '\n') {
      ++at;
      continue;
    }
    float value = 0;
    auto [p, error] = std::from_chars(at, end, value);
    if (error != std::errc()) return false;
    at = p;
    if (numbers.size() == kMaxFeatures) {
      cut = true;
    } else {
      numbers.push_back(value);
    }
  }
  return !numbers.empty();
}

/// One header with the delimiter that it is written with.
struct Header {
  std::string text;
  char delimiter = ',';
  std::vector<std::string> names;
};

/// Names begin with letters and differ; what pandas leaves unnamed is its index.
std::optional<Header> HeaderOf(std::string_view record) {
  record = FirstCsvRecord(record);
  std::optional<Header> best;
  CsvFields fields;
  for (char delimiter : kDelimiters) {
    std::span<const std::string_view> names = fields.Split(record, delimiter);
    if (names.size() > kMaxColumns || (best && names.size() <= best->names.size())) continue;
    std::set<std::string_view> seen;
    const bool good = std::all_of(names.begin(), names.end(), [&](std::string_view name) {
      name = Trim(name);
      if (name.empty()) return true;
      const char first = name[0];
      return name.size() <= kMaxName && first != '-' && first != '.' && first != '{' &&
             first != '[' && !(first >= '0' && first <= '9') && seen.insert(name).second;
    });
    if (!good || seen.empty()) continue;
    best.emplace();
    best->text = record;
    best->delimiter = delimiter;
    for (std::string_view name : names) best->names.emplace_back(Trim(name));
  }
  return best;
}

/// What a field is put where.
struct Column {
  enum class Use : uint8_t { kNone, kField, kFeature };
  Use use = Use::kNone;
  FieldTarget target;             ///< of kField
  size_t feature = 0;             ///< of kFeature: its place
  std::optional<size_t> segment;  ///< whatever else it is: which of LogRecord::segments
};

/// Columns by name: what the configuration maps, else what the names say.
class Columns {
 public:
  /// What is a number shows in `rows`; columns named `left` are left out whatever they hold. INVALID_ARGUMENT when a mapped column
  /// is not there.
  static Result<Columns> Bind(const Header& header, const FieldMappings& mappings,
                              std::span<const std::vector<std::string>> rows,
                              std::vector<std::string> left = {});

  std::span<const Column> columns() const { return columns_; }
  const std::vector<std::string>& features() const { return features_; }
  bool Has(Field field) const { return NameOf(field) != nullptr; }
  /// Of the column that is this field; null when none is.
  const std::string* NameOf(Field field) const {
    for (const auto& [target, name] : fields_)
      if (target == field) return &name;
    return nullptr;
  }
  /// Columns that are neither; those with texts among them.
  const std::vector<std::string>& left() const { return left_; }
  /// A row says something of a prediction.
  bool Useful() const {
    return Has(Field::kPredicted) || Has(Field::kScore) || Has(Field::kFeatures) ||
           !features_.empty();
  }

 private:
  Status Map(const Header& header, const FieldMappings& mappings);
  void Name(const Header& header, std::span<const std::vector<std::string>> rows, bool mapped);
  bool Put(size_t column, FieldTarget target, const std::string& name) {
    if (Has(target.field)) return false;
    columns_[column].use = Column::Use::kField;
    columns_[column].target = target;
    fields_.emplace_back(target.field, name);
    return true;
  }
  void PutFeature(size_t column, std::string name) {
    if (features_.size() == kMaxFeatures) return;
    columns_[column].use = Column::Use::kFeature;
    columns_[column].feature = features_.size();
    features_.push_back(std::move(name));
  }

  std::vector<Column> columns_;
  std::vector<std::string> features_;
  std::vector<std::pair<Field, std::string>> fields_;
  std::vector<std::string> left_;
};

Status Columns::Map(const Header& header, const FieldMappings& mappings) {
  for (const FieldMapping& mapping : mappings.entries) {
    const std::string& source = mapping.source;
    if (mapping.target.field == Field::kFeatures && source.ends_with('*')) {
      const std::string_view prefix = std::string_view(source).substr(0, source.size() - 1);
      bool any = false;
      for (size_t i = 0; i < header.names.size(); ++i) {
        const std::string& name = header.names[i];
        if (name.empty() || !name.starts_with(prefix) || columns_[i].use != Column::Use::kNone)
          continue;
        if (prefix.empty() && (FindCaptureName(name) || IsDerivedName(name))) continue;
        PutFeature(i, name);
        any = true;
      }
      if (!any) return InvalidArgumentError(StrCat("fields.features: no column begins ", prefix));
      continue;
    }
    auto found = std::find(header.names.begin(), header.names.end(), source);
    if (found == header.names.end()) {
      std::optional<std::string> near = DidYouMean(source, header.names);
      return InvalidArgumentError(StrCat("fields: the file has no column ", source,
                                         near ? StrCat("; did you mean ", *near, "?") : ""));
    }
    const auto column = static_cast<size_t>(found - header.names.begin());
    if (mapping.target.field == Field::kSegment) {
      columns_[column].segment = mapping.target.feature;
    } else if (mapping.target.field == Field::kFeature) {
      PutFeature(column, mappings.parts.features[mapping.target.feature]);
    } else {
      Put(column, mapping.target, source);
    }
  }
  return OkStatus();
}

/// Whether the values that are there are numbers; true when none is.
bool IsNumeric(std::span<const std::vector<std::string>> rows, size_t column, char delimiter) {
  return std::all_of(rows.begin(), rows.end(), [&](const std::vector<std::string>& row) {
    const float number = NumberOf(row[column], delimiter);
    return IsMissingText(row[column]) || number == number;
  });
}

/// Counts up by one from row to row: the number of the row, whose drift says nothing.
bool IsIndex(std::span<const std::vector<std::string>> rows, size_t column) {
  constexpr size_t kEnough = 5;
  std::optional<int64_t> before;
  for (const std::vector<std::string>& row : rows) {
    const std::optional<int64_t> value = ParseInt64(row[column]);
    if (!value || (before && *value != *before + 1)) return false;
    before = value;
  }
  return rows.size() >= kEnough;
}

/// By what names say. Features are the numbers that are left: all of them, or those that are called so.
void Columns::Name(const Header& header, std::span<const std::vector<std::string>> rows,
                   bool mapped_features) {
  static constexpr std::string_view kPrefixes[] = {"feature.", "features.", "input.",
                                                   "inputs.",  "feature_",  "features_"};
  auto prefix = [](std::string_view name) {
    const auto* found = std::find_if(
        std::begin(kPrefixes), std::end(kPrefixes),
        [&](std::string_view p) { return name.starts_with(p) && name.size() > p.size(); });
    return found == std::end(kPrefixes) ? std::string_view() : *found;
  };
  bool prefixed = false;
  for (size_t i = 0; i < header.names.size(); ++i) {
    const std::string& name = header.names[i];
    if (columns_[i].use != Column::Use::kNone || name.empty()) continue;
    prefixed = prefixed || !prefix(name).empty();
    std::optional<FieldTarget> target = FindCaptureName(name);
    if (!target) continue;
    if (target->field == Field::kFeatures) {
      // A number called "input" is a feature like others.
      if (mapped_features || IsNumeric(rows, i, header.delimiter)) continue;
    }
    Put(i, *target, name);
  }
  for (size_t i = 0; i < header.names.size(); ++i) {
    const std::string& name = header.names[i];
    if (columns_[i].use != Column::Use::kNone || name.empty() || name.starts_with("Unnamed:"))
      continue;
    const std::string_view begins = prefix(name);
    const std::optional<FieldTarget> known = FindCaptureName(name);
    const bool other = (known && known->field != Field::kFeatures) || IsDerivedName(name);
    if (std::find(left_.begin(), left_.end(), name) != left_.end()) continue;
    if (mapped_features || Has(Field::kFeatures) || other || (prefixed && begins.empty()) ||
        !IsNumeric(rows, i, header.delimiter) || IsIndex(rows, i)) {
      if (!columns_[i].segment) left_.push_back(name);
      continue;
    }
    PutFeature(i, begins.ends_with('.') ? name.substr(begins.size()) : name);
  }
}

Result<Columns> Columns::Bind(const Header& header, const FieldMappings& mappings,
                              std::span<const std::vector<std::string>> rows,
                              std::vector<std::string> left) {
  Columns bound;
  bound.left_ = std::move(left);
  bound.columns_.resize(header.names.size());
  RETURN_IF_ERROR(bound.Map(header, mappings));
  bound.Name(header, rows, mappings.Maps(Field::kFeatures) || mappings.Maps(Field::kFeature));
  return bound;
}

class CsvParser final : public LineParser {
 public:
  CsvParser(Header header, Columns columns, FieldMappings mappings, const FormatOptions& options)
      : mappings_(std::move(mappings)),
        time_(options.zone_if_unsaid),
        redactor_(options.redactor),
        first_header_(header),
        first_columns_(columns),
        segments_(mappings_.parts.segments.begin(), mappings_.parts.segments.end()) {
    Use(std::move(header), std::move(columns));
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    if (open_) return GoOn(line, record);
    if (line.size() > kMaxLineBytes) return Verdict::kMalformed;
    if (line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (FindByte(line.data(), line.data() + line.size(), '"') == nullptr) {
      if (ReadPlain(line)) return Take(record);
    } else if (QuoteStaysOpen(line, header_.delimiter, false)) {
      pending_ = line;
      open_ = true;
      return Verdict::kUnfinished;
    }
    return Read(line, record);
  }
  void Restart() override {
    open_ = false;
    pending_.clear();
    if (header_.text != first_header_.text) Use(first_header_, first_columns_);
  }
  const FormatNote& note() const override { return note_; }

  void Describe(std::span<const std::string_view> lines);

 private:
  void Use(Header header, Columns columns) {
    header_ = std::move(header);
    columns_ = std::move(columns);
    values_.assign(columns_.features().size(), kNaN);
    names_.assign(columns_.features().begin(), columns_.features().end());
    names_key_ = NewNamesKey();
    cells_.assign(header_.names.size(), {});
    fields_at_.clear();
    segments_at_.clear();
    for (size_t i = 0; i < header_.names.size(); ++i) {
      if (columns_.columns()[i].use == Column::Use::kField) fields_at_.push_back(i);
      if (columns_.columns()[i].segment) segments_at_.push_back(i);
    }
    key_ = fields_at_.empty() ? 0 : fields_at_.back();
  }

  Verdict GoOn(std::string_view line, LogRecord& record) {
    if (pending_.size() + 1 + line.size() > kMaxLineBytes) {
      open_ = false;  // a quote that nobody closes must not swallow the file
      pending_.clear();
      return Verdict::kMalformed;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    pending_ += '\n';
    pending_ += line;
    if (QuoteStaysOpen(line, header_.delimiter, true)) return Verdict::kUnfinished;
    open_ = false;
    joined_.swap(pending_);
    pending_.clear();
    return Read(joined_, record);
  }

  /// A program that starts anew writes its header again, perhaps with other columns.
  bool IsHeader(std::span<const std::string_view> fields, std::string_view text) {
    if (text == header_.text) return true;
    const std::string& key = header_.names[key_];
    if (std::find(fields.begin(), fields.end(), key) == fields.end()) return false;
    std::optional<Header> next = HeaderOf(text);
    if (!next || next->delimiter != header_.delimiter) return false;
    Result<Columns> bound = Columns::Bind(*next, mappings_, {}, columns_.left());
    // All that is no feature must be there again: a row of texts that a client has sent is no header.
    if (!bound.ok() || !bound->Useful()) return false;
    for (size_t i = 0; i < header_.names.size(); ++i) {
      if (columns_.columns()[i].use != Column::Use::kField) continue;
      if (!bound->Has(columns_.columns()[i].target.field)) return false;
    }
    Use(std::move(*next), std::move(bound).value());
    return true;
  }

  Verdict Read(std::string_view text, LogRecord& record) {
    if (Trim(text).empty()) return Verdict::kOther;
    const std::span<const std::string_view> fields = fields_.Split(text, header_.delimiter);
    const bool fits = fields.size() == header_.names.size();
    if (!fits || fields[key_] == header_.names[key_]) {
      if (IsHeader(fields, text)) return Verdict::kOther;
      if (!fits) return Verdict::kMalformed;
    }
    const std::span<const Column> columns = columns_.columns();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].use == Column::Use::kFeature)
        values_[columns[i].feature] = NumberOf(fields[i], header_.delimiter);
      cells_[i] = fields[i];
    }
    return Take(record);
  }

  /// A row without quotes, in one pass: numbers where features stand. False when it has another number of fields than the header,
  /// or may be one itself.
  bool ReadPlain(std::string_view text) {
    if (Trim(text).empty()) return false;
    const std::span<const Column> columns = columns_.columns();
    const char* at = text.data();
    const char* const end = at + text.size();
    for (size_t i = 0; i < columns.size(); ++i) {
      const Column& column = columns[i];
      const bool feature = column.use == Column::Use::kFeature;
      float& value = feature ? values_[column.feature] : unused_;
      const char* stop = feature ? TakeFloat(at, end, value) : nullptr;
      const bool plain = stop != nullptr && (stop == end || *stop == header_.delimiter);
      if (!plain) {
        stop = FindByte(at, end, header_.delimiter);
        if (stop == nullptr) stop = end;
        cells_[i] = {at, static_cast<size_t>(stop - at)};
        if (i == key_ && cells_[i] == header_.names[i]) return false;
        if (feature) value = NumberOf(cells_[i], header_.delimiter);
      } else if (column.segment) {
        cells_[i] = {at, static_cast<size_t>(stop - at)};
      }
      if (stop == end) return i + 1 == columns.size();
      at = stop + 1;
    }
    return false;
  }

  /// What stands in values_ and cells_.
  Verdict Take(LogRecord& record) {
    const std::span<const Column> columns = columns_.columns();
    for (size_t i : fields_at_)
      if (!IsMissingText(cells_[i])) Set(columns[i].target, cells_[i], record);
    for (size_t i : segments_at_)
      if (!IsMissingText(cells_[i])) record.segments[*columns[i].segment] = cells_[i];
    if (!names_.empty()) {
      record.features = values_;
      record.feature_names = names_;
      record.names_key = names_key_;
    }
    record.segment_names = segments_;
    record.rows = 1;
    FinishFields(record);
    record.inference = true;
    return Verdict::kRequest;
  }

  void Set(FieldTarget target, std::string_view text, LogRecord& record) {
    switch (target.field) {
      case Field::kPredicted:
        if (text.front() == '[') {
          bool cut = false;
          text =
              NumbersOf(text, scores_, cut) ? HighestOf(scores_, predicted_) : std::string_view();
          if (text.empty()) ++record.unreadable;
        }
        record.predicted = AnswerOf(text, predicted_);
        break;
      case Field::kLabel:
        record.label = AnswerOf(text, label_);
        break;
      case Field::kFeatures:
        if (NumbersOf(text, list_, record.features_cut)) {
          record.features = list_;
        } else {
          ++record.unreadable;
        }
        break;
      case Field::kScore: {
        const float score = NumberOf(text, header_.delimiter);
        if (score == score) record.score = score;
        record.unreadable += score != score;
        break;
      }
      default:
        SetField(target, text, time_, record);
    }
  }

  using Scratch = std::array<char, 32>;

  /// The place of the highest of several scores; the only number itself.
  static std::string_view HighestOf(const std::vector<float>& scores, Scratch& scratch) {
    const auto highest = std::max_element(scores.begin(), scores.end());
    auto* const end = scratch.data() + scratch.size();
    auto* stop = scores.size() > 1
                     ? std::to_chars(scratch.data(), end, highest - scores.begin()).ptr
                     : std::to_chars(scratch.data(), end, *highest).ptr;
    return {scratch.data(), static_cast<size_t>(stop - scratch.data())};
  }

  /// pandas turns a column of whole numbers with a gap into 1.0: that and 1 are one class.
  static std::string_view AnswerOf(std::string_view text, Scratch& scratch) {
    text = Trim(text);
    if (text == "True") return "true";
    if (text == "False") return "false";
    if (text.size() < 3 || text.size() > 18 || !text.ends_with('0')) return text;
    const size_t point = text.find('.');
    if (point == std::string_view::npos || point == 0 ||
        text.find_first_not_of('0', point + 1) != std::string_view::npos)
      return text;
    const std::string_view whole = text.substr(0, point);
    if (!ParseInt64(whole)) return text;
    std::copy(whole.begin(), whole.end(), scratch.begin());
    return {scratch.data(), whole.size()};
  }

  FieldMappings mappings_;
  TimeParser time_;
  const Redactor* redactor_;  ///< null: no rules
  const Header first_header_;
  const Columns first_columns_;
  const std::vector<std::string_view> segments_;  ///< mappings_' names
  Header header_;
  Columns columns_;
  size_t key_ = 0;  ///< a column of which a row never holds the name
  FormatNote note_;
  CsvFields fields_;
  bool open_ = false;  ///< a quoted field is, of what is pending
  std::string pending_;
  std::string joined_;  ///< the record that views point to
  std::vector<float> values_;
  std::vector<std::string_view> names_;
  uint64_t names_key_ = 0;               ///< LogRecord::names_key
  std::vector<std::string_view> cells_;  ///< of the row, by column; of features only some
  std::vector<size_t> fields_at_;        ///< the columns that are fields
  std::vector<size_t> segments_at_;      ///< those that are segments
  float unused_ = 0;
  std::vector<float> list_;    ///< of a cell with all features
  std::vector<float> scores_;  ///< of a cell with the scores of all classes
  Scratch predicted_{};
  Scratch label_{};
};

void CsvParser::Describe(std::span<const std::string_view> lines) {
  note_.title = StrCat("CSV capture file, ", DelimiterName(header_.delimiter), " between ",
                       header_.names.size(), " columns");
  note_.header = header_.text;
  static constexpr std::pair<Field, std::string_view> kTold[] = {
      {Field::kPredicted, "prediction"}, {Field::kScore, "score"},   {Field::kLabel, "label"},
      {Field::kRequestId, "request id"}, {Field::kTime, "time"},     {Field::kModel, "model"},
      {Field::kVersion, "version"},      {Field::kStatus, "status"}, {Field::kLatency, "latency"},
      {Field::kFeatures, "features"}};
  std::vector<std::string> from;
  for (const auto& [field, word] : kTold)
    if (const std::string* name = columns_.NameOf(field))
      from.push_back(StrCat(word, " from ", *name));
  if (!from.empty()) note_.gives.push_back(HumanList(from));
  if (!columns_.features().empty())
    note_.gives.push_back(StrCat(columns_.features().size(),
                                 columns_.features().size() == 1 ? " feature: " : " features: ",
                                 SomeFeatures(columns_.features(), redactor_)));
  for (size_t i = 0; i < header_.names.size(); ++i) {
    if (const auto& segment = columns_.columns()[i].segment)
      note_.gives.push_back(StrCat("segment ", segments_[*segment], " from ", header_.names[i]));
  }
  if (!columns_.left().empty())
    note_.gives.push_back(StrCat("columns left out: ", SomeNames(columns_.left())));
  for (const auto& [field, word] :
       {std::pair(Field::kPredicted, "prediction"), std::pair(Field::kTime, "time"),
        std::pair(Field::kLatency, "latency")})
    if (!columns_.Has(field)) note_.lacks.emplace_back(word);
  if (!columns_.Has(Field::kLabel) && !columns_.Has(Field::kRequestId))
    note_.lacks.emplace_back("label, or request id to join one by");
  if (!columns_.Has(Field::kPredicted))
    note_.fix = "map it, for example predicted: the name of its column";
  ForEachRequest(*this, lines, [](const LogRecord&) {});
  Restart();
  if (time_.zone_was_unsaid()) note_.gives.emplace_back(kZoneUnsaid);
}

/// The rows that a header explains, as texts.
std::vector<std::vector<std::string>> RowsOf(std::span<const std::string_view> lines,
                                             const Header& header, size_t& records) {
  std::vector<std::vector<std::string>> rows;
  CsvFields fields;
  std::string record;
  bool open = false;
  for (std::string_view line : lines) {
    if (!open) record.clear();
    if (open) record += '\n';
    if (line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    record += line;
    open = QuoteStaysOpen(line, header.delimiter, open);
    if (open || record == header.text || Trim(record).empty()) continue;
    ++records;
    std::span<const std::string_view> row = fields.Split(record, header.delimiter);
    if (row.size() == header.names.size()) rows.emplace_back(row.begin(), row.end());
  }
  return rows;
}

/// The first record of lines.
std::string FirstOf(std::span<const std::string_view> lines) {
  std::string text;
  for (std::string_view line : lines) {
    text += line;
    const std::string_view first = FirstCsvRecord(text);
    if (!QuoteStaysOpen(first, ',', false) || text.size() > kMaxLineBytes) break;
    text += '\n';
  }
  return text;
}

}  // namespace

ParserOrNull MakeCsvParser(std::span<const std::string_view> lines, const FormatOptions& options) {
  const bool asked = !options.format.empty();
  ASSIGN_OR_RETURN(FieldMappings mappings, ParseFieldMappings(options.fields));
  // The header that explains most rows; what comes first in the file when several do.
  std::optional<Header> header;
  std::vector<std::vector<std::string>> rows;
  size_t records = 0;
  for (const std::string& first : {options.first_record, FirstOf(lines), options.former_header}) {
    if (first.empty()) continue;
    std::optional<Header> candidate = HeaderOf(first);
    size_t found = 0;
    if (!candidate) continue;
    std::vector<std::vector<std::string>> explained = RowsOf(lines, *candidate, found);
    if (header && explained.size() <= rows.size()) continue;
    header = std::move(candidate);
    rows = std::move(explained);
    records = found;
  }
  if (!header || (records > 0 && rows.size() * 2 < records)) {
    if (!asked) return std::unique_ptr<LineParser>();
    return InvalidArgumentError(
        header ? StrCat("format csv: most rows have not the ", header->names.size(),
                        " columns that the header names")
               : "format csv: the first line must be a header that names the columns");
  }
  Result<Columns> columns = Columns::Bind(*header, mappings, rows);
  if (!columns.ok()) {
    // A mapping that fits no column is told of a file that is CSV beyond doubt.
    const bool sure = header->names.size() > 1 && rows.size() == records && records > 0 &&
                      header->text.find('=') == std::string::npos;
    if (asked || sure) return columns.status();
    return std::unique_ptr<LineParser>();
  }
  // A table of numbers is no capture file unless its names, or who configures it, say so.
  const bool says = columns->Has(Field::kPredicted) || columns->Has(Field::kScore) ||
                    (!mappings.entries.empty() && columns->Useful());
  if (!asked && (!says || header->names.size() < 2)) return std::unique_ptr<LineParser>();
  if (!columns->Useful())
    return InvalidArgumentError(StrCat(
        "format csv: no column is a prediction or a feature: map it, for example "
        "predicted: ",
        header->names.back(),
        columns->Has(Field::kLabel) ? "; labels alone are sent by `leadsman labels add --file`"
                                    : ""));
  auto parser = std::make_unique<CsvParser>(std::move(*header), std::move(columns).value(),
                                            std::move(mappings), options);
  parser->Describe(lines);
  return std::unique_ptr<LineParser>(std::move(parser));
}

}  // namespace leadsman::intake
