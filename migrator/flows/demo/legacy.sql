-- The old shop, as it grew over ten years. Times are seconds since 1970 but for reg_time (local text), money is in
-- cents in one column and in CNY in the next, nothing refers to anything by a foreign key.
create table t_user (
    user_id          integer primary key,
    login_name       varchar(64) not null,
    email            varchar(128),
    mobile           varchar(32),
    pwd              char(32),
    salt             varchar(16),
    status           integer not null default 0,
    level            integer,
    nick             varchar(64),
    real_name        varchar(64),
    sex              integer,
    birthday         date,
    province         varchar(32),
    city             varchar(32),
    address          varchar(255),
    points           integer,
    reg_time         datetime,
    last_login       integer not null default 0,
    is_deleted       integer not null default 0,
    bak1             varchar(64)
);
create table t_user_setting (
    id               integer primary key,
    user_id          integer not null,
    skey             varchar(32) not null,
    svalue           varchar(255),
    updated_at       integer not null
);
create table t_order (
    order_id         integer primary key,
    order_sn         varchar(32) not null,
    user_id          integer not null default 0,
    status           integer not null,
    total_fee        integer not null,
    money_paid       decimal(12, 2) not null default 0,
    consignee        varchar(64),
    addr             varchar(255),
    ext              text,
    pay_type         integer,
    add_time         integer not null,
    pay_time         integer not null default 0
);
create table t_order_item (
    rec_id           integer primary key,
    order_id         integer not null,
    goods_id         integer not null,
    goods_name       varchar(128),
    price            decimal(10, 2) not null,
    num              integer not null,
    attrs            text
);
create table t_cart (
    id               integer primary key,
    user_id          integer not null,
    goods_id         integer not null,
    num              integer,
    checked          integer,
    add_time         integer not null
);
create table t_favorite (
    id               integer primary key,
    user_id          integer not null,
    goods_ids        varchar(255),
    folder           varchar(32),
    add_time         integer not null
);
create table t_behavior_log (
    log_id           integer primary key,
    uid              integer not null default 0,
    act              varchar(16) not null,
    target           varchar(128),
    ext              text,
    ts               integer not null
);
create table t_goods (
    goods_id         integer primary key,
    goods_name       varchar(128) not null,
    price            decimal(10, 2) not null
);
create table t_admin (
    admin_id         integer primary key,
    login_name       varchar(64) not null
);
create table t_coupon (
    coupon_id        integer primary key,
    code             varchar(16) not null,
    ended_at         integer not null
);
create table t_sms_log (
    id               integer primary key,
    mobile           varchar(32) not null,
    sent_at          integer not null
);
create table t_session (
    sid              varchar(64) primary key,
    user_id          integer
);
create index t_user_setting_user on t_user_setting (user_id);
create index t_order_user on t_order (user_id);
create index t_order_item_order on t_order_item (order_id);
create index t_cart_user on t_cart (user_id);
create index t_favorite_user on t_favorite (user_id);
create index t_behavior_log_uid on t_behavior_log (uid, ts);
