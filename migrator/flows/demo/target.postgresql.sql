-- The new shop (PostgreSQL). Twin: target.sqlite.sql. Made in the schema that the search path names first.
create type account_status as enum ('pending', 'active', 'suspended');
create type order_status as enum ('pending', 'paid', 'shipped', 'completed', 'cancelled', 'refunded');
create table products (
    id               uuid primary key,
    legacy_id        bigint not null unique,
    sku              text not null unique,
    title            text not null,
    price            numeric(10, 2) not null check (price > 0)
);
create table accounts (
    id               uuid primary key,
    username         varchar(64) not null,
    email            text unique check (email = lower(email) and email like '%_@_%'),
    phone            text check (phone like '+%'),
    password_hash    text,
    status           account_status not null,
    tier             text not null check (tier in ('basic', 'silver', 'gold')),
    created_at       timestamptz not null,
    last_login_at    timestamptz
);
create table profiles (
    account_id       uuid primary key references accounts (id),
    display_name     varchar(40) not null,
    family_name      varchar(60),
    given_name       varchar(60),
    gender           text check (gender in ('male', 'female', 'other')),
    birth_date       date check (birth_date > date '1900-01-01'),
    address          jsonb not null,
    loyalty_points   integer not null default 0 check (loyalty_points >= 0)
);
create table preferences (
    account_id       uuid primary key references accounts (id),
    settings         jsonb not null
);
create table orders (
    id               uuid primary key,
    number           text not null unique,
    account_id       uuid not null references accounts (id),
    status           order_status not null,
    currency         char(3) not null,
    total            numeric(12, 2) not null check (total >= 0),
    paid             numeric(12, 2) not null check (paid >= 0),
    shipping         jsonb not null,
    metadata         jsonb not null default '{}',
    placed_at        timestamptz not null,
    paid_at          timestamptz
);
create table order_lines (
    id               uuid primary key,
    order_id         uuid not null references orders (id),
    product_id       uuid not null references products (id),
    title            text not null,
    unit_price       numeric(10, 2) not null,
    quantity         integer not null check (quantity > 0),
    amount           numeric(12, 2) generated always as (unit_price * quantity) stored,
    attributes       jsonb
);
create table carts (
    id               uuid primary key,
    account_id       uuid not null unique references accounts (id),
    items            jsonb not null,
    updated_at       timestamptz
);
create table wishlists (
    account_id       uuid not null references accounts (id),
    product_id       uuid not null references products (id),
    list_name        text not null,
    position         integer not null,
    added_at         timestamptz,
    primary key (account_id, product_id)
);
create table events (
    id               uuid primary key,
    account_id       uuid not null references accounts (id),
    type             text not null,
    properties       jsonb not null,
    occurred_at      timestamptz not null
);
create index on orders (account_id);
create index on order_lines (order_id);
create index on order_lines (product_id);
create index on wishlists (product_id);
create index on events (account_id, occurred_at);
