-- The vault has a database of its own, so that it has a backup of its own.
CREATE DATABASE vault ENCODING 'UTF8' TEMPLATE template0;
