-- The new shop (SQLite). Times are UTC text 'YYYY-MM-DDTHH:MM:SSZ', JSON is text. Twin: target.postgresql.sql.
create table products (
    id               text primary key,
    legacy_id        integer not null unique,
    sku              text not null unique,
    title            text not null,
    price            numeric(10, 2) not null check (price > 0)
);
create table accounts (
    id               text primary key,
    username         varchar(64) not null,
    email            text unique check (email = lower(email) and email like '%_@_%'),
    phone            text check (phone like '+%'),
    password_hash    text,
    status           text not null check (status in ('pending', 'active', 'suspended')),
    tier             text not null check (tier in ('basic', 'silver', 'gold')),
    created_at       text not null,
    last_login_at    text
);
create table profiles (
    account_id       text primary key references accounts (id),
    display_name     varchar(40) not null,
    family_name      varchar(60),
    given_name       varchar(60),
    gender           text check (gender in ('male', 'female', 'other')),
    birth_date       date check (birth_date > '1900-01-01'),
    address          text not null check (json_valid(address)),
    loyalty_points   integer not null default 0 check (loyalty_points >= 0)
);
create table preferences (
    account_id       text primary key references accounts (id),
    settings         text not null check (json_valid(settings))
);
create table orders (
    id               text primary key,
    number           text not null unique,
    account_id       text not null references accounts (id),
    status           text not null check (status in ('pending', 'paid', 'shipped', 'completed', 'cancelled', 'refunded')),
    currency         char(3) not null,
    total            numeric(12, 2) not null check (total >= 0),
    paid             numeric(12, 2) not null check (paid >= 0),
    shipping         text not null check (json_valid(shipping)),
    metadata         text not null default '{}' check (json_valid(metadata)),
    placed_at        text not null,
    paid_at          text
);
create table order_lines (
    id               text primary key,
    order_id         text not null references orders (id),
    product_id       text not null references products (id),
    title            text not null,
    unit_price       numeric(10, 2) not null,
    quantity         integer not null check (quantity > 0),
    amount           numeric(12, 2) generated always as (unit_price * quantity) stored,
    attributes       text check (attributes is null or json_valid(attributes))
);
create table carts (
    id               text primary key,
    account_id       text not null unique references accounts (id),
    items            text not null check (json_valid(items)),
    updated_at       text
);
create table wishlists (
    account_id       text not null references accounts (id),
    product_id       text not null references products (id),
    list_name        text not null,
    position         integer not null,
    added_at         text,
    primary key (account_id, product_id)
);
create table events (
    id               text primary key,
    account_id       text not null references accounts (id),
    type             text not null,
    properties       text not null check (json_valid(properties)),
    occurred_at      text not null
);
create index orders_account on orders (account_id);
create index order_lines_order on order_lines (order_id);
create index order_lines_product on order_lines (product_id);
create index wishlists_product on wishlists (product_id);
create index events_account on events (account_id, occurred_at);
