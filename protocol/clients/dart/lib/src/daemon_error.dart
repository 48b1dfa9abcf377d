/// Why a call has no result.
class DaemonError implements Exception {
  /// A sentence for people.
  final String message;

  /// The protocol's stable code, such as `offline`; null when the connection or the protocol failed.
  final String? code;

  /// Whether the same call may succeed later without anything being changed.
  final bool retryable;

  /// One with these fields.
  const DaemonError(this.message, {this.code, this.retryable = false});

  /// From the error of an answer.
  factory DaemonError.fromJson(Map<String, dynamic> json) {
    final data = json['data'];
    final details = data is Map<String, dynamic> ? data : const <String, dynamic>{};
    return DaemonError(
      json['message'] as String,
      code: details['code'] as String?,
      retryable: details['retryable'] == true,
    );
  }

  @override
  String toString() => message;
}
