#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

// nghttp2's headers stay in the .cc file.
struct nghttp2_session;

namespace leadsman::gateway {

class H2Session;

/// HTTP/2's own codes, as far as they are used here.
enum class H2Error : uint32_t {
  kNone = 0,
  kProtocol = 1,
  kInternal = 2,
  kRefusedStream = 7,  ///< it was not looked at: may be sent again
  kCancel = 8,
  kEnhanceYourCalm = 11,
  kLost = 0xffffffff,  ///< ours: the connection is gone
};

struct H2Field {
  std::string_view name;  ///< lower case
  std::string_view value;
  bool secret = false;  ///< never to be put into a table of the compression, here and behind us
};
using H2Fields = std::span<const H2Field>;

/// One request and its answer, seen from one side of its connection. Belongs to its session, until OnClosed returns.
class H2Stream {
 public:
  /// Who is told of what comes. Called while the session is fed, or its output taken: not to call Feed, Take or the session's
  /// destructor from there. May throw: that resets the stream.
  class User {
   public:
    /// A request's head, or an answer's, also interim ones (1xx). `end`: that was all.
    virtual void OnHead(H2Stream& stream, H2Fields fields, bool end) = 0;
    /// The head is larger than Options::max_header.
    virtual void OnHeadTooLarge(H2Stream& stream) = 0;
    /// Credit for more is given by Consumed.
    virtual void OnData(H2Stream& stream, std::string_view bytes) = 0;
    virtual void OnTrailers(H2Stream& stream, H2Fields fields) = 0;
    /// The other side sends no more; not called when OnHead had the end.
    virtual void OnEnd(H2Stream& stream) = 0;
    /// So many of the bytes that were given to Send are on their way.
    virtual void OnTaken(H2Stream& stream, size_t bytes) = 0;
    /// The last call. kNone: both sides have ended as they should.
    virtual void OnClosed(H2Stream& stream, H2Error code) = 0;

   protected:
    ~User() = default;
  };

  H2Stream(H2Session& session, int32_t id) : session_(session), id_(id) {}
  H2Stream(const H2Stream&) = delete;
  H2Stream& operator=(const H2Stream&) = delete;

  /// Of a server: the answer's head, ":status" first. Interim ones before it.
  void SendHead(H2Fields fields, bool end);
  void SendInterim(H2Fields fields);
  void Send(std::string_view bytes);
  void SendEnd();  ///< behind what was given to Send
  void SendTrailers(H2Fields fields);
  /// The other side may send so many more.
  void Consumed(size_t bytes);
  void Reset(H2Error code);
  /// OnClosed and all others go nowhere from now on.
  void Forget() { user_ = nullptr; }

  size_t unsent() const { return out_.size() - out_at_; }
  /// By SendEnd, SendTrailers or a head that was all.
  bool ended_here() const { return end_given_; }
  /// Of a server: the answer is on its way, and the request has not ended. What still comes of it is thrown away.
  bool answered_early() const { return end_sent_ && !end_come_; }
  /// For answered_early: the client is to send no more (RST_STREAM, NO_ERROR). Not at once: one that still writes a small body
  /// may take it for a failure and drop the answer, as curl 7.88 does.
  void StopClient();

 private:
  friend class H2Session;
  friend struct H2Callbacks;

  H2Session& session_;
  const int32_t id_;
  User* user_ = nullptr;
  std::string out_;
  size_t out_at_ = 0;
  size_t held_ = 0;  ///< has come, and was not consumed
  bool head_sent_ = false;
  bool reset_here_ = false;  ///< by Reset
  bool deferred_ = false;
  bool end_given_ = false, end_sent_ = false, end_come_ = false;
  size_t late_ = 0;  ///< bytes that came since answered_early
  bool stopped_ = false;
  bool head_come_ = false;
  std::vector<std::pair<std::string, std::string>> trailers_;
  std::vector<bool> secret_trailers_;
};

/// One side of an HTTP/2 connection: bytes in, bytes out, streams. No sockets, no time but for the limit on resets. Says nothing
/// of what it passes on but what RFC 9113 asks for; keeps limits: on streams, heads, resets, empty frames, frames that wait to be
/// sent, and bytes that have come and nobody has taken (Consumed).
///
/// Confined to one thread.
class H2Session {
 public:
  class Owner {
   public:
    /// Of a server: a client has opened a stream; who is told of it. Null: it is refused.
    virtual H2Stream::User* OnStream(H2Stream& stream) = 0;
    /// There is something to Take.
    virtual void OnOutput() = 0;

   protected:
    ~Owner() = default;
  };
  struct Options {
    uint32_t max_streams = 100;    ///< that the other side may have open
    size_t max_header = 64 << 10;  ///< as RFC 9113 counts: 32 a field
  };
  /// Null when there is no memory for it.
  static std::unique_ptr<H2Session> Server(Owner& owner, const Options& options);
  static std::unique_ptr<H2Session> Client(Owner& owner, const Options& options);
  ~H2Session();
  H2Session(const H2Session&) = delete;
  H2Session& operator=(const H2Session&) = delete;

  /// False when the connection is of no more use; what Take still gives says why to the other side.
  bool Feed(std::string_view bytes);
  /// Appends what there is to send, some `most` bytes.
  void Take(std::string& out, size_t most);
  bool wants_to_send() const;
  /// All is said on both sides.
  bool over() const;

  /// Of a client: a new request. Null when no stream may be opened any more.
  H2Stream* Open(H2Stream::User& user, H2Fields fields, bool end);
  /// Of a client: how many more the server takes now.
  size_t room() const;
  /// Of a client: the server has said that it takes no more (GOAWAY).
  bool closing() const { return closing_; }
  /// The other side has said who it is (SETTINGS): room() is its word.
  bool greeted() const { return greeted_; }
  size_t streams() const { return streams_.size(); }
  /// A head is being read, whose end has not come.
  bool in_head() const { return in_head_; }

  /// GOAWAY: `soon` says that there will be a second one, and that what is on its way is still taken.
  void SayGoAway(bool soon);
  /// The connection is gone: all streams are told (kLost). Not from a call of the session's.
  void CloseStreams();

 private:
  friend class H2Stream;
  friend struct H2Callbacks;

  H2Session(Owner& owner, const Options& options) : owner_(owner), options_(options) {}
  bool Begin(bool server);
  H2Stream& Add(int32_t id);
  void Closed(int32_t id, uint32_t code);
  void EndHead(H2Stream& stream, bool end);
  void CameData(H2Stream& stream, std::string_view bytes);
  void CountData(bool empty);
  void CountReset();
  void GiveBack(size_t bytes);
  template <typename Call>
  void Tell(H2Stream& stream, const Call& call);

  Owner& owner_;
  const Options options_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<int32_t, std::unique_ptr<H2Stream>> streams_;
  bool server_ = false;
  bool closing_ = false;
  bool greeted_ = false;
  bool in_head_ = false;
  int32_t head_of_ = 0;     ///< in_head_: the stream
  bool too_large_ = false;  ///< the head that is being read
  std::string head_text_;
  struct RawField {
    uint32_t name, value, end;
    bool secret;
  };
  std::vector<RawField> raw_fields_;
  size_t held_ = 0;      ///< of all streams
  size_t withheld_ = 0;  ///< credit of the connection
  int empty_data_ = 0;   ///< on end
  uint64_t resets_left_ = 0;
  std::chrono::steady_clock::time_point resets_since_{};
  bool flooded_ = false;
};

}  // namespace leadsman::gateway
