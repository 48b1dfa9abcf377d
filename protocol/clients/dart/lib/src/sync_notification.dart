/// The server's hint that something has changed. The daemon has begun to fetch it already.
class SyncNotification {
  /// `data_available`, `sync_complete`, `sync_error` or `conflict_detected`.
  final String type;

  /// The type of the entity, or `batch`.
  final String entityType;

  /// The entity, if it is about one.
  final String? entityId;

  /// A sentence for people.
  final String message;

  /// ISO 8601, in UTC.
  final String timestamp;

  /// Always null: anyone can send a notification, so the daemon passes no data on. Read the record instead.
  final Map<String, dynamic>? data;

  /// One with these fields.
  const SyncNotification({
    required this.type,
    required this.entityType,
    this.entityId,
    required this.message,
    required this.timestamp,
    this.data,
  });

  /// From an event of the channel `notification`.
  factory SyncNotification.fromJson(Map<String, dynamic> json) => SyncNotification(
        type: json['type'] as String,
        entityType: json['entityType'] as String,
        entityId: json['entityId'] as String?,
        message: json['message'] as String,
        timestamp: json['timestamp'] as String,
      );
}
